"""Golden values of the speedrun recipe: whitening, Muon, and steps of a narrow network.

Everything is written from the recipe's formulas (docs/math.md, "Muon", "Whitening"), with the loss
summed over the batch as the recipe has it; kiln takes the mean and converts the rates.
"""

import torch
from torch import nn

from golden_record import Draw, Record, decode_weights, relative_error, weight_scale

A, B, C = 3.4445, -4.7750, 2.0315
WIDTHS = (8, 12, 10)
BATCH, STEPS, WHITEN_STEPS = 6, 5, 3
# Rates of the loss summed over a batch; decays are over the rate.
BIAS_RATE, HEAD_RATE, MUON_RATE, DECAY = 0.053, 0.67, 0.24, 2e-6 * BATCH
SMOOTHING = 0.2


def orthogonalised(u, dtype=None, epsilon=1e-7, steps=3):
    """Newton-Schulz of a matrix; in `dtype` where it is given, as the recipe has bf16."""
    x = u.to(dtype or u.dtype)
    x = x / (x.norm() + epsilon)
    tall = x.shape[0] > x.shape[1]
    if tall:
        x = x.T
    for _ in range(steps):
        a = x @ x.T
        b = B * a + C * a @ a
        x = A * x + b @ x
    return x.T if tall else x


class Muon:
    """Momentum, the weight's norm, the orthogonalised direction."""

    def __init__(self, parameters, momentum, nesterov=True, dtype=None, epsilon=1e-7):
        self.parameters, self.momentum = list(parameters), momentum
        self.nesterov, self.dtype, self.epsilon = nesterov, dtype, epsilon
        self.buffers = [torch.zeros_like(p) for p in self.parameters]

    @torch.no_grad()
    def step(self, rate):
        for p, m in zip(self.parameters, self.buffers):
            m.mul_(self.momentum).add_(p.grad)
            u = p.grad.add(m, alpha=self.momentum) if self.nesterov else m
            p.mul_(len(p) ** 0.5 / p.norm())
            x = orthogonalised(u.reshape(len(u), -1), self.dtype, self.epsilon)
            p.add_(x.reshape(p.shape).to(p.dtype), alpha=-rate)


def _muon_steps(start, gradients, rate, momentum, nesterov, dtype=None):
    value = nn.Parameter(start.clone())
    muon = Muon([value], momentum, nesterov, dtype)
    after = []
    for gradient in gradients:
        value.grad = gradient.clone()
        muon.step(rate)
        after.append(value.detach().clone())
    return torch.stack(after)


def _keep_muon(record, draw):
    for name, shape, nesterov in [("wide", (8, 36), True), ("tall", (20, 6), True),
                                  ("square", (9, 9), False)]:
        start, gradients = draw.reals(*shape), draw.reals(4, *shape)
        case = {"lr": MUON_RATE, "momentum": 0.6, "nesterov": nesterov}
        double = _muon_steps(start, gradients, MUON_RATE, 0.6, nesterov)
        single = _muon_steps(start.float(), gradients.float(), MUON_RATE, 0.6, nesterov)
        narrow = _muon_steps(start.float(), gradients.float(), MUON_RATE, 0.6, nesterov,
                             torch.bfloat16)
        record.keep(f"muon.{name}/start", start.float())
        record.keep(f"muon.{name}/gradients", gradients.float())
        record.keep(f"muon.{name}/after", double)
        record.cases.append({
            "name": f"muon.{name}", "config": case,
            "pytorch_float32_relative_error": relative_error(single, double),
            "pytorch_bfloat16_relative_error": relative_error(narrow, double)})


LOOKAHEAD_STEPS, LOOKAHEAD_INTERVAL, LOOKAHEAD_DECAY = 12, 5, 0.95


def _lookahead_steps(start, gradients):
    """SGD whose weights are set to their average every five steps and behind the last."""
    value = nn.Parameter(start.clone())
    optimizer = torch.optim.SGD([value], lr=0.1, momentum=0.9)
    average, after = start.clone(), []
    for step, gradient in enumerate(gradients, 1):
        value.grad = gradient.clone()
        optimizer.step()
        share = LOOKAHEAD_DECAY ** LOOKAHEAD_INTERVAL * (step / LOOKAHEAD_STEPS) ** 3
        for kept in ([share] if step % LOOKAHEAD_INTERVAL == 0 else []) + (
                [1.0] if step == LOOKAHEAD_STEPS else []):
            average.lerp_(value.detach(), 1 - kept)
            value.data.copy_(average)
        after.append(value.detach().clone())
    return torch.stack(after)


def _keep_lookahead(record, draw):
    start, gradients = draw.reals(8, 8), draw.reals(LOOKAHEAD_STEPS, 8, 8)
    record.keep("lookahead/start", start.float())
    record.keep("lookahead/gradients", gradients.float())
    record.keep("lookahead/after", _lookahead_steps(start, gradients))
    record.cases.append({"name": "lookahead", "config": {
        "steps": LOOKAHEAD_STEPS, "interval": LOOKAHEAD_INTERVAL, "decay": LOOKAHEAD_DECAY}})


def _pixels(draw, count):
    """Pictures whose neighbours are alike and whose channels are not."""
    shared = draw.integers(0, 100, count, 1, 8, 8)
    own = draw.integers(0, 80, count, 3, 8, 8) * torch.tensor([4, 2, 1]).view(1, 3, 1, 1) // 4
    coarse = (shared + own).repeat_interleave(4, 2).repeat_interleave(4, 3)
    return (coarse + draw.integers(0, 76, count, 3, 32, 32)).to(torch.uint8)


def whitening_filters(x):
    """[24, 3, 2, 2] of pictures [N, 3, 32, 32], and the second moments of their windows."""
    patches = x.unfold(2, 2, 1).unfold(3, 2, 1).permute(0, 2, 3, 1, 4, 5).reshape(-1, 12)
    moments = patches.T @ patches / len(patches)
    values, vectors = torch.linalg.eigh(moments)
    filters = (vectors / (values + 5e-4).sqrt()).T.reshape(12, 3, 2, 2)
    return torch.cat((filters, -filters)), moments


class Block(nn.Module):
    def __init__(self, inputs, outputs):
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, outputs, 3, padding=1, bias=False)
        self.norm1 = nn.BatchNorm2d(outputs, eps=1e-12, momentum=0.4)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, padding=1, bias=False)
        self.norm2 = nn.BatchNorm2d(outputs, eps=1e-12, momentum=0.4)

    def forward(self, x):
        x = nn.functional.max_pool2d(self.conv1(x), 2)
        x = nn.functional.gelu(self.norm1(x))
        return nn.functional.gelu(self.norm2(self.conv2(x)))


class Speedrun(nn.Module):
    def __init__(self):
        super().__init__()
        self.whiten = nn.Conv2d(3, 24, 2)
        self.layers = nn.Sequential(nn.GELU(), Block(24, WIDTHS[0]), Block(WIDTHS[0], WIDTHS[1]),
                                    Block(WIDTHS[1], WIDTHS[2]), nn.MaxPool2d(3))
        self.head = nn.Linear(WIDTHS[2], 10, bias=False)

    def forward(self, x):
        return self.head(self.layers(self.whiten(x)).flatten(1)) / 256


def _is_fixed(name):
    return name == "whiten.weight" or (".norm" in name and name.endswith(".weight"))


def _groups(network):
    named = [(n, p) for n, p in network.named_parameters() if not _is_fixed(n)]
    filters = [p for n, p in named if ".conv" in n]
    biases = [p for n, p in named if ".norm" in n]
    return filters, biases, [network.whiten.bias], [network.head.weight]


def _train(drawn, whitening, x, labels, epsilon=1e-7 * BATCH):
    """Losses (means) of the steps and the state behind them.

    `epsilon` stands beside a norm of summed gradients: that of kiln's means, 1e-7, times the batch.
    """
    network = Speedrun().to(x.dtype)
    with torch.no_grad():
        for name, p in network.named_parameters():
            if name in drawn:
                p.copy_(decode_weights(*drawn[name]))
        network.whiten.weight.copy_(whitening)
    for name, p in network.named_parameters():
        p.requires_grad = not _is_fixed(name)
    filters, biases, whiten, head = _groups(network)
    muon = Muon(filters, 0.6, epsilon=epsilon)
    sgd = [torch.optim.SGD(group, lr=rate, momentum=0.85, nesterov=True, weight_decay=DECAY / rate)
           for group, rate in ((biases, BIAS_RATE), (whiten, BIAS_RATE), (head, HEAD_RATE))]
    losses, gradients = [], {}
    for step in range(STEPS):
        at = step % 2 * BATCH
        network.whiten.bias.requires_grad = step < WHITEN_STEPS
        network.zero_grad(set_to_none=True)
        loss = nn.functional.cross_entropy(network(x[at:at + BATCH]), labels[at:at + BATCH],
                                           label_smoothing=SMOOTHING, reduction="sum")
        loss.backward()
        if step == 0:
            gradients = {n: p.grad / BATCH for n, p in network.named_parameters()
                         if p.grad is not None}
        losses.append(loss.detach().double() / BATCH)
        muon.step(MUON_RATE * (1 - step / STEPS))
        rates = (BIAS_RATE * (1 - step / STEPS), BIAS_RATE * max(0, 1 - step / WHITEN_STEPS),
                 HEAD_RATE * (1 - step / STEPS))
        for optimizer, rate in zip(sgd, rates):
            optimizer.param_groups[0]["lr"] = rate
            optimizer.step()
    state = {n: v.detach().clone() for n, v in network.state_dict().items()
             if v.is_floating_point()}
    return torch.stack(losses), gradients, state


def make_speedrun():
    record, draw = Record(), Draw(94)
    _keep_muon(record, draw)
    pixels = _pixels(draw, 2 * BATCH)
    labels = draw.integers(0, 10, 2 * BATCH)
    x = (pixels.double() / 255.0 - 0.5) / 0.5
    filters, moments = whitening_filters(x)
    record.keep("pixels", pixels)
    record.keep("labels", labels)
    record.keep("whitening/moments", moments)
    record.keep("whitening/filters", filters)
    drawn = {}
    for name, p in Speedrun().named_parameters():
        if _is_fixed(name):
            continue
        fan_in = 16 if p.dim() == 1 else p[0].numel()
        drawn[name] = (draw.weight_codes(*p.shape), weight_scale(fan_in))
        record.keep(f"initial_codes/{name}", drawn[name][0])
        record.keep(f"initial_offset_scale/{name}", torch.tensor([0.0, drawn[name][1]]).double())
    losses, gradients, state = _train(drawn, filters, x, labels)
    single, _, single_state = _train(drawn, filters.float(), x.float(), labels)
    _, _, recipe_state = _train(drawn, filters, x, labels, 1e-7)
    _keep_lookahead(record, draw)
    record.keep("loss_f64", losses)
    for name, value in gradients.items():
        record.keep(f"gradient_of_step_1/{name}", value)
    for name, value in state.items():
        record.keep(f"after_{STEPS}_steps/{name}", value)
    record.cases.append({
        "name": "speedrun",
        "config": {"batch": BATCH, "steps": STEPS, "whiten_steps": WHITEN_STEPS,
                   "widths": list(WIDTHS)},
        "pytorch_float32_loss_error": relative_error(single, losses),
        "pytorch_float32_state_error": max(relative_error(single_state[n], state[n])
                                           for n in state),
        "recipe_epsilon_state_error": max(relative_error(recipe_state[n], state[n])
                                          for n in state)})
    return record
