"""Golden values of the optimizers, the schedules and the initialisers' bounds."""

import math

import torch

from golden_record import Draw, Record

STEP_COUNT = 10
VECTOR_LENGTH = 64

OPTIMIZERS = [
    ("sgd.plain", "SGD", {"lr": 0.1}),
    ("sgd.momentum", "SGD", {"lr": 0.1, "momentum": 0.9}),
    ("sgd.dampening", "SGD", {"lr": 0.1, "momentum": 0.9, "dampening": 0.3}),
    ("sgd.nesterov", "SGD", {"lr": 0.1, "momentum": 0.9, "nesterov": True}),
    ("sgd.weight_decay", "SGD", {"lr": 0.1, "weight_decay": 0.01}),
    ("sgd.momentum_weight_decay", "SGD", {"lr": 0.1, "momentum": 0.9, "weight_decay": 5e-4}),
    ("sgd.nesterov_weight_decay", "SGD",
     {"lr": 0.1, "momentum": 0.9, "weight_decay": 5e-4, "nesterov": True}),
    ("adadelta.default", "Adadelta", {"lr": 1.0, "rho": 0.9, "eps": 1e-6}),
    ("adadelta.weight_decay", "Adadelta",
     {"lr": 0.5, "rho": 0.95, "eps": 1e-6, "weight_decay": 0.01}),
    ("adam.default", "Adam", {"lr": 0.001, "betas": [0.9, 0.999], "eps": 1e-8}),
    ("adam.weight_decay", "Adam",
     {"lr": 0.01, "betas": [0.8, 0.99], "eps": 1e-6, "weight_decay": 1e-4}),
    ("adamw.default", "AdamW",
     {"lr": 0.001, "betas": [0.9, 0.999], "eps": 1e-8, "weight_decay": 0.01}),
]


def _optimizer_steps(kind, options, start, gradients):
    """Values after each step, [steps, length]."""
    value = torch.nn.Parameter(start.clone())
    optimizer = getattr(torch.optim, kind)([value], **options)
    after = []
    for gradient in gradients:
        value.grad = gradient.clone()
        optimizer.step()
        after.append(value.detach().clone())
    return torch.stack(after)


def make_optimizers():
    record, draw = Record(), Draw(2)
    start = draw.reals(VECTOR_LENGTH)
    gradients = draw.reals(STEP_COUNT, VECTOR_LENGTH)
    record.keep("start", start.float())
    record.keep("gradients", gradients.float())
    for name, kind, options in OPTIMIZERS:
        double = _optimizer_steps(kind, options, start, gradients)
        single = _optimizer_steps(kind, options, start.float(), gradients.float())
        record.keep(f"{name}/after_f64", double)
        record.keep(f"{name}/after_f32", single)
        record.cases.append({"name": name, "optimizer": kind, "config": options})
    return record


def _rates(lr, count, make_schedule):
    """Learning rate used in step (or epoch) 0, 1, ... count-1."""
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=lr)
    schedule = make_schedule(optimizer)
    rates = []
    for _ in range(count):
        rates.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        schedule.step()
    return torch.tensor(rates, dtype=torch.float64)


def _sequential(optimizer, warm_up, decay, start, end):
    s = torch.optim.lr_scheduler
    first = s.LinearLR(optimizer, start_factor=start, end_factor=1.0, total_iters=warm_up)
    second = s.LinearLR(optimizer, start_factor=1.0, end_factor=end, total_iters=decay)
    return s.SequentialLR(optimizer, [first, second], milestones=[warm_up])


def _warm_up_factor(step, warm_up, total):
    """Straight line 0 -> 1 over warm_up steps, then straight down to 0 at step `total`."""
    if step < warm_up:
        return step / warm_up
    return max(0.0, (total - step) / (total - warm_up))


def make_schedules():
    s = torch.optim.lr_scheduler
    record = Record()
    table = [
        ("constant", {"lr": 0.1}, 8, lambda o: s.LambdaLR(o, lambda t: 1.0)),
        ("step.every_epoch", {"lr": 1.0, "step_size": 1, "gamma": 0.7}, 14,
         lambda o: s.StepLR(o, 1, 0.7)),
        ("step.every_three", {"lr": 0.1, "step_size": 3, "gamma": 0.1}, 10,
         lambda o: s.StepLR(o, 3, 0.1)),
        ("cosine.to_zero", {"lr": 0.1, "t_max": 12, "eta_min": 0.0}, 13,
         lambda o: s.CosineAnnealingLR(o, 12)),
        ("cosine.to_floor", {"lr": 0.1, "t_max": 7, "eta_min": 0.001}, 8,
         lambda o: s.CosineAnnealingLR(o, 7, 0.001)),
        ("warm_up_linear.from_zero_to_zero", {"lr": 0.4, "warm_up_steps": 5, "total_steps": 20},
         21, lambda o: s.LambdaLR(o, lambda t: _warm_up_factor(t, 5, 20))),
        ("warm_up_linear.sequential",
         {"lr": 0.4, "warm_up_steps": 4, "decay_steps": 12, "start_factor": 0.1,
          "end_factor": 0.01}, 17, lambda o: _sequential(o, 4, 12, 0.1, 0.01)),
    ]
    for name, config, count, make_schedule in table:
        record.keep(name, _rates(config["lr"], count, make_schedule))
        record.cases.append({"name": name, "config": config})
    return record


def make_initialisers():
    """PyTorch's defaults draw weight and bias from U(-b, b) with b = 1/sqrt(fan_in).

    The bound of the weight follows from kaiming_uniform_(a=sqrt(5)):
    gain sqrt(2 / (1 + 5)) times sqrt(3 / fan_in) = 1/sqrt(fan_in).
    """
    record = Record()
    layers = [("conv1", torch.nn.Conv2d(3, 6, 5)), ("conv2", torch.nn.Conv2d(6, 16, 5)),
              ("fc1", torch.nn.Linear(400, 120)), ("fc2", torch.nn.Linear(120, 84)),
              ("fc3", torch.nn.Linear(84, 10)), ("grouped", torch.nn.Conv2d(8, 4, 3, groups=2))]
    for name, layer in layers:
        fan_in = layer.weight[0].numel()
        bound = 1.0 / math.sqrt(fan_in)
        largest = max(layer.weight.abs().max().item(), layer.bias.abs().max().item())
        if largest > bound * (1 + 1e-6):
            raise AssertionError(f"{name}: PyTorch drew {largest}, beyond the bound {bound}")
        record.keep(f"{name}/bound", torch.tensor([bound], dtype=torch.float64))
        record.cases.append({"name": name, "config": {"fan_in": fan_in}})
    return record
