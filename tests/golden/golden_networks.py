"""Golden training steps of whole networks: LeNet, the MNIST network, a small residual one."""

import torch
from torch import nn
from torch.nn import functional as F

from golden_record import Draw, Record, decode_weights, relative_error, weight_scale


class LeNet(nn.Module):
    """The workshop's CIFAR-10 network."""

    def __init__(self):
        super().__init__()
        self.conv1 = nn.Conv2d(3, 6, 5)
        self.conv2 = nn.Conv2d(6, 16, 5)
        self.fc1 = nn.Linear(400, 120)
        self.fc2 = nn.Linear(120, 84)
        self.fc3 = nn.Linear(84, 10)

    def forward(self, x):
        x = F.max_pool2d(torch.relu(self.conv1(x)), 2)
        x = F.max_pool2d(torch.relu(self.conv2(x)), 2)
        x = torch.flatten(x, 1)  # C, H, W order
        return self.fc3(torch.relu(self.fc2(torch.relu(self.fc1(x)))))


class Mnist(nn.Module):
    """The workshop's reference MNIST network with its dropouts off: log-probabilities."""

    def __init__(self):
        super().__init__()
        self.conv1 = nn.Conv2d(1, 10, 5)
        self.conv2 = nn.Conv2d(10, 20, 5)
        self.fc1 = nn.Linear(320, 50)
        self.fc2 = nn.Linear(50, 10)

    def forward(self, x):
        x = torch.relu(F.max_pool2d(self.conv1(x), 2))
        x = torch.relu(F.max_pool2d(self.conv2(x), 2))
        x = torch.relu(self.fc1(torch.flatten(x, 1)))
        return F.log_softmax(self.fc2(x), 1)


class Block(nn.Module):
    """Basic residual block; a 1x1 projection on the shortcut where the shape changes."""

    def __init__(self, inputs, outputs, stride):
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(outputs)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(outputs)
        self.downsample = None
        if stride != 1 or inputs != outputs:
            self.downsample = nn.Sequential(nn.Conv2d(inputs, outputs, 1, stride, bias=False),
                                            nn.BatchNorm2d(outputs))

    def forward(self, x):
        y = torch.relu(self.bn1(self.conv1(x)))
        y = self.bn2(self.conv2(y))
        return torch.relu(y + (x if self.downsample is None else self.downsample(x)))


class MiniResNet(nn.Module):
    """ResNet-18's parts at 8 channels: stem, an identity block, a projected block, head."""

    def __init__(self):
        super().__init__()
        self.conv1 = nn.Conv2d(3, 8, 3, 1, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(8)
        self.layer1 = nn.Sequential(Block(8, 8, 1))
        self.layer2 = nn.Sequential(Block(8, 16, 2))
        self.fc = nn.Linear(16, 10)

    def forward(self, x):
        x = torch.relu(self.bn1(self.conv1(x)))
        x = self.layer2(self.layer1(x))
        return self.fc(x.mean((2, 3)))


def draw_state(network, draw):
    """Initial state as {name: (codes, scale)}; a batch normalisation's weight is 1 + code value.

    Running statistics keep PyTorch's start, mean 0 and variance 1.
    """
    drawn = {}
    for name, value in network.named_parameters():
        owner = network.get_submodule(name.rsplit(".", 1)[0])
        fan_in = 16 if isinstance(owner, nn.BatchNorm2d) else owner.weight[0].numel()
        drawn[name] = (draw.weight_codes(*value.shape), weight_scale(fan_in))
    return drawn


def _is_norm_weight(network, name):
    owner, leaf = name.rsplit(".", 1)
    return leaf == "weight" and isinstance(network.get_submodule(owner), nn.BatchNorm2d)


def load_state(network, drawn, dtype):
    network.to(dtype)
    with torch.no_grad():
        for name, value in network.named_parameters():
            start = decode_weights(*drawn[name])
            value.copy_(start + 1.0 if _is_norm_weight(network, name) else start)
    return network


def keep_state(record, network, drawn):
    for name, (codes, scale) in drawn.items():
        offset = 1.0 if _is_norm_weight(network, name) else 0.0
        record.keep(f"initial_codes/{name}", codes)
        # weight = offset + (code - 128) * scale
        record.keep(f"initial_offset_scale/{name}", torch.tensor([offset, scale]).double())


def normalise(pixels, dtype):
    return (pixels.to(dtype) / 255.0 - 0.5) / 0.5


class Run:
    """What training `step_count` steps over cycled batches left behind."""

    def __init__(self, network, loss_of, batches, step_count, options):
        optimizer = torch.optim.SGD(network.parameters(), **options)
        losses = []
        for step in range(step_count):
            images, labels = batches[step % len(batches)]
            optimizer.zero_grad()
            loss = loss_of(network(images), labels)
            loss.backward()
            if step == 0:
                self.gradients = {n: p.grad.clone() for n, p in network.named_parameters()}
            losses.append(loss.detach().double())
            optimizer.step()
        self.losses = torch.stack(losses)
        self.state = {name: value.detach().clone() for name, value in network.state_dict().items()
                      if value.is_floating_point()}

    def errors_against(self, truth):
        return {
            "loss": relative_error(self.losses, truth.losses),
            "gradients": {name: relative_error(value, truth.gradients[name])
                          for name, value in self.gradients.items()},
            "state": {name: relative_error(value, truth.state[name])
                      for name, value in self.state.items()},
        }


def keep_gradients(record, run):
    """Float64, but for one large tensor per network: its float32 rounds by 6e-8 at most."""
    for name, value in run.gradients.items():
        record.keep(f"gradient_of_step_1/{name}", value.float() if name == "fc1.weight" else value)


def _both_precisions(make_network, drawn, loss_of, make_batches, step_count, options):
    runs = []
    for dtype in (torch.float64, torch.float32):
        network = load_state(make_network(), drawn, dtype)
        runs.append(Run(network, loss_of, make_batches(dtype), step_count, options))
    return runs


def make_lenet():
    """100 steps of SGD over four batches of 16 pictures."""
    record, draw = Record(), Draw(3)
    drawn = draw_state(LeNet(), draw)
    pixels = draw.integers(0, 256, 4, 16, 3, 32, 32).to(torch.uint8)
    labels = draw.integers(0, 10, 4, 16)
    options = {"lr": 0.001, "momentum": 0.9}

    def batches(dtype):
        return [(normalise(p, dtype), y) for p, y in zip(pixels, labels)]

    double, single = _both_precisions(LeNet, drawn, F.cross_entropy, batches, 100, options)
    keep_state(record, LeNet(), drawn)
    record.keep("pixels", pixels)
    record.keep("labels", labels)
    record.keep("loss_f64", double.losses)
    record.keep("loss_f32", single.losses.float())
    keep_gradients(record, double)
    for name, value in double.state.items():
        record.keep(f"after_100_steps/{name}", value)
    record.cases.append({
        "name": "lenet", "config": {"optimizer": "SGD", "steps": 100, "batch": 16,
                                    "input": "(pixel/255 - 0.5) / 0.5", **options},
        "pytorch_float32_relative_error": single.errors_against(double)})
    return record


def _with_mirror(network, images):
    return 0.5 * network(images) + 0.5 * network(images.flip(3))


def _with_shifts(network, images):
    """Half the picture and its mirror image, half two windows of the padded one and theirs."""
    padded = F.pad(images, (1, 1, 1, 1), "reflect")
    shifted = [padded[:, :, at:at + 32, at:at + 32] for at in (0, 2)]
    return (0.5 * _with_mirror(network, images)
            + 0.5 * torch.stack([_with_mirror(network, s) for s in shifted]).mean(0))


def make_views():
    """Logits of LeNet, with the start of lenet.safetensors, under the views of an evaluation."""
    record = Record()
    drawn = draw_state(LeNet(), Draw(3))
    pixels = Draw(6).integers(0, 256, 5, 3, 32, 32).to(torch.uint8)
    record.keep("pixels", pixels)
    errors = {}
    for name, forward in (("none", lambda network, x: network(x)), ("mirror", _with_mirror),
                          ("translate", _with_shifts)):
        with torch.no_grad():
            double, single = (forward(load_state(LeNet(), drawn, dtype), normalise(pixels, dtype))
                              for dtype in (torch.float64, torch.float32))
        record.keep(f"logits_{name}", double)
        errors[name] = relative_error(single, double)
    record.cases.append({
        "name": "views", "config": {"batch": 5, "input": "(pixel/255 - 0.5) / 0.5"},
        "pytorch_float32_relative_error": errors})
    return record


def make_mnist():
    """One step; gradients of the mean negative log-likelihood."""
    record, draw = Record(), Draw(4)
    drawn = draw_state(Mnist(), draw)
    pixels = draw.integers(0, 256, 8, 1, 28, 28).to(torch.uint8)
    labels = draw.integers(0, 10, 8)

    def batches(dtype):
        return [(normalise(pixels, dtype), labels)]

    double, single = _both_precisions(Mnist, drawn, F.nll_loss, batches, 1, {"lr": 0.01})
    keep_state(record, Mnist(), drawn)
    record.keep("pixels", pixels)
    record.keep("labels", labels)
    network = load_state(Mnist(), drawn, torch.float64)
    record.keep("log_probabilities", network(normalise(pixels, torch.float64)))
    record.keep("loss_f64", double.losses)
    keep_gradients(record, double)
    record.cases.append({
        "name": "mnist", "config": {"dropout": "off", "batch": 8,
                                    "input": "(pixel/255 - 0.5) / 0.5"},
        "pytorch_float32_relative_error": single.errors_against(double)})
    return record


def make_resnet():
    """One step of a residual network with batch normalisation."""
    record, draw = Record(), Draw(5)
    drawn = draw_state(MiniResNet(), draw)
    images, labels = draw.reals(4, 3, 12, 12), draw.integers(0, 10, 4)
    options = {"lr": 0.1, "momentum": 0.9, "weight_decay": 5e-4}

    def batches(dtype):
        return [(images.to(dtype), labels)]

    double, single = _both_precisions(MiniResNet, drawn, F.cross_entropy, batches, 1, options)
    keep_state(record, MiniResNet(), drawn)
    record.keep("images", images.float())
    record.keep("labels", labels)
    record.keep("loss_f64", double.losses)
    keep_gradients(record, double)
    for name, value in double.state.items():
        if "running" in name or name in ("conv1.weight", "bn1.weight", "bn1.bias", "fc.weight"):
            record.keep(f"after_1_step/{name}", value)
    record.cases.append({
        "name": "mini_resnet",
        "config": {"optimizer": "SGD", "steps": 1, "batch": 4, "batch_norm_momentum": 0.1,
                   "batch_norm_eps": 1e-5, **options},
        "pytorch_float32_relative_error": single.errors_against(double)})
    return record
