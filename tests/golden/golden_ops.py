"""Golden values of every operation: forward and all gradients. Layout NCHW, weights KCRS."""

import torch
from torch.nn import functional as F

from golden_record import Draw, Record

# name, (N, C, H, W), output channels, kernel (R, S), stride, padding, dilation, groups, bias
CONVOLUTIONS = [
    ("lenet_first", (2, 3, 9, 9), 6, (5, 5), (1, 1), (0, 0), (1, 1), 1, True),
    ("same_3x3", (2, 4, 6, 7), 5, (3, 3), (1, 1), (1, 1), (1, 1), 1, False),
    ("stride_2", (2, 3, 7, 7), 4, (3, 3), (2, 2), (1, 1), (1, 1), 1, True),
    ("stride_leaves_rest", (1, 2, 8, 10), 3, (3, 3), (3, 2), (0, 1), (1, 1), 1, True),
    ("pointwise_stride_2", (2, 6, 5, 5), 4, (1, 1), (2, 2), (0, 0), (1, 1), 1, False),
    ("dilated", (1, 3, 9, 11), 2, (3, 3), (1, 1), (2, 2), (2, 2), 1, True),
    ("grouped", (2, 6, 5, 6), 4, (3, 3), (1, 1), (1, 1), (1, 1), 2, True),
    ("depthwise", (1, 4, 6, 6), 8, (3, 3), (2, 2), (1, 1), (1, 1), 4, True),
    ("rectangular", (2, 2, 5, 8), 3, (2, 4), (1, 2), (1, 0), (2, 1), 1, True),
]


def _leaves(inputs, *names):
    for name in names:
        inputs[name].requires_grad_(True)


def _conv(config):
    def run(t):
        names = ["x", "weight"] + (["bias"] if config["bias"] else [])
        _leaves(t, *names)
        y = F.conv2d(t["x"], t["weight"], t.get("bias"), config["stride"], config["padding"],
                     config["dilation"], config["groups"])
        y.backward(t["dy"])
        return {"y": y} | {f"d{name}": t[name].grad for name in names}

    return run


def _add_conv(record, draw):
    for name, x_shape, out, kernel, stride, padding, dilation, groups, bias in CONVOLUTIONS:
        config = {"op": "conv2d", "stride": stride, "padding": padding,
                  "dilation": dilation, "groups": groups, "bias": bias}
        inputs = {"x": draw.reals(*x_shape),
                  "weight": draw.reals(out, x_shape[1] // groups, *kernel)}
        if bias:
            inputs["bias"] = draw.reals(out)
        y = F.conv2d(inputs["x"], inputs["weight"], None, stride, padding, dilation, groups)
        inputs["dy"] = draw.reals(*y.shape)
        record.case(f"conv2d.{name}", config, inputs, _conv(config))


def _add_linear(record, draw):
    def run(t):
        names = [name for name in ("x", "weight", "bias") if name in t]
        _leaves(t, *names)
        y = F.linear(t["x"], t["weight"], t.get("bias"))
        y.backward(t["dy"])
        return {"y": y} | {f"d{name}": t[name].grad for name in names}

    for name, rows, features_in, features_out, bias in [
            ("small", 3, 5, 4, True), ("no_bias", 4, 7, 3, False), ("one_row", 1, 17, 9, True)]:
        inputs = {"x": draw.reals(rows, features_in), "dy": draw.reals(rows, features_out),
                  "weight": draw.reals(features_out, features_in)}
        if bias:
            inputs["bias"] = draw.reals(features_out)
        record.case(f"linear.{name}", {"op": "linear", "bias": bias}, inputs, run)


def _pointwise(function):
    def run(t):
        _leaves(t, "x")
        y = function(t["x"])
        y.backward(t["dy"])
        return {"y": y, "dx": t["x"].grad}

    return run


def _add_pointwise(record, draw):
    relu_x = draw.reals(3, 23)
    relu_x[0, :4] = 0.0  # the gradient at exactly 0 is 0
    record.case("relu.with_zeros", {"op": "relu"},
                {"x": relu_x, "dy": draw.reals(3, 23)}, _pointwise(torch.relu))
    gelu_x = draw.reals(3, 23)
    gelu_x[0, :10] = torch.tensor([-30, -10, -6, -4, -2.0 ** -20, 0, 2.0 ** -20, 4, 10, 30])
    record.case("gelu.exact", {"op": "gelu", "approximate": "none"},
                {"x": gelu_x, "dy": draw.reals(3, 23)}, _pointwise(F.gelu))
    logits = draw.reals(4, 10)
    logits[1] += 1000.0  # overflows exp without subtraction of the maximum
    logits[2] *= 50.0
    record.case("log_softmax.rows", {"op": "log_softmax"},
                {"x": logits, "dy": draw.reals(4, 10)}, _pointwise(lambda x: F.log_softmax(x, 1)))

    def add(t):
        _leaves(t, "a", "b")
        y = t["a"] + t["b"]
        y.backward(t["dy"])
        return {"y": y, "da": t["a"].grad, "db": t["b"].grad}

    record.case("add.residual", {"op": "add"},
                {"a": draw.reals(2, 3, 4), "b": draw.reals(2, 3, 4), "dy": draw.reals(2, 3, 4)},
                add)


def _add_pool(record, draw):
    pools = [  # name, x, kernel, stride, padding
        ("lenet", (2, 3, 6, 6), 2, 2, 0),
        ("odd_size", (2, 2, 7, 5), 2, 2, 0),
        ("overlapping", (1, 3, 7, 8), 3, 2, 1),
        ("stride_1", (1, 2, 5, 5), 3, 1, 1),
        ("whole_map", (2, 4, 4, 4), 4, 4, 0),
    ]
    for name, shape, kernel, stride, padding in pools:
        config = {"kernel": kernel, "stride": stride, "padding": padding}

        def largest(x, k=kernel, s=stride, p=padding):
            return F.max_pool2d(x, k, s, p)

        def average(x, k=kernel, s=stride, p=padding):
            return F.avg_pool2d(x, k, s, p, count_include_pad=True)

        y_shape = largest(torch.zeros(shape)).shape
        record.case(f"max_pool.{name}", {"op": "max_pool"} | config,
                    {"x": draw.reals(*shape), "dy": draw.reals(*y_shape)}, _pointwise(largest))
        # Values 0, 1, 2 tie in most windows: the gradient goes to the first in row order.
        ties = draw.integers(0, 3, *shape).double()
        record.case(f"max_pool.{name}_ties", {"op": "max_pool"} | config,
                    {"x": ties, "dy": draw.reals(*y_shape)}, _pointwise(largest))
        record.case(f"avg_pool.{name}",
                    {"op": "avg_pool", "count_include_pad": True} | config,
                    {"x": draw.reals(*shape), "dy": draw.reals(*y_shape)}, _pointwise(average))


def _batch_norm_train(momentum, eps):
    def run(t):
        _leaves(t, "x", "weight", "bias")
        mean, var = t["running_mean"].clone(), t["running_var"].clone()
        y = F.batch_norm(t["x"], mean, var, t["weight"], t["bias"], True, momentum, eps)
        y.backward(t["dy"])
        return {"y": y, "dx": t["x"].grad, "dweight": t["weight"].grad, "dbias": t["bias"].grad,
                "running_mean_after": mean, "running_var_after": var}

    return run


def _batch_norm_eval(eps):
    def run(t):
        y = F.batch_norm(t["x"], t["running_mean"], t["running_var"], t["weight"], t["bias"],
                         False, 0.0, eps)
        return {"y": y}

    return run


def _add_batch_norm(record, draw):
    for name, shape, momentum, eps in [("maps", (4, 5, 3, 3), 0.1, 1e-5),
                                       ("one_picture", (1, 3, 5, 7), 0.1, 1e-5),
                                       ("other_momentum", (3, 4, 2, 2), 0.4, 1e-3)]:
        channels = shape[1]
        inputs = {"x": draw.reals(*shape) + draw.reals(1, channels, 1, 1),
                  "weight": draw.reals(channels), "bias": draw.reals(channels),
                  "running_mean": draw.reals(channels), "running_var": draw.positives(channels)}
        config = {"op": "batch_norm", "momentum": momentum, "eps": eps}
        record.case(f"batch_norm_eval.{name}", config | {"training": False}, inputs,
                    _batch_norm_eval(eps))
        record.case(f"batch_norm_train.{name}", config | {"training": True},
                    inputs | {"dy": draw.reals(*shape)}, _batch_norm_train(momentum, eps))


def _add_cross_entropy(record, draw):
    for smoothing in (0.0, 0.1, 0.3):
        def run(t, smoothing=smoothing):
            _leaves(t, "logits")
            loss = F.cross_entropy(t["logits"], t["labels"], label_smoothing=smoothing)
            loss.backward()
            return {"loss": loss, "dlogits": t["logits"].grad}

        logits = draw.reals(7, 10) * 2.0
        logits[1] += 1000.0
        name = f"cross_entropy.smoothing_{str(smoothing).replace('.', '_')}"
        record.case(name, {"op": "cross_entropy", "label_smoothing": smoothing},
                    {"logits": logits, "labels": draw.integers(0, 10, 7)}, run)


def make():
    record, draw = Record(), Draw(1)
    for add in (_add_conv, _add_linear, _add_pointwise, _add_pool, _add_batch_norm,
                _add_cross_entropy):
        add(record, draw)
    return record
