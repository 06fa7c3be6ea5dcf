#!/usr/bin/env python3
"""PyTorch's side of `speedrun`: the recipe speedrun94 in plain PyTorch on the CPU.

    speedrun_torch.py run --data DIR [--epochs 8] [--batch 2000] [--seed 1] [--math bf16]
    speedrun_torch.py train --model speedrun94|resnet18 --batch 250 [--seconds 2] [--layout ...]
    speedrun_torch.py infer --model speedrun94|resnet18 --batch 1|32 [--seconds 2]

Each prints one JSON object on its last line. `run` is the whole recipe by the clock of
`kiln speedrun` (docs/speedrun.md); `train` are steps of forward, loss, backward and SGD on one
batch in memory, as kiln-step-bench takes them; `infer` are forward passes in evaluation.
"""

import argparse
import json
import math
import statistics
import tempfile
import time
from pathlib import Path

import torch
from torch import nn
from torch.nn import functional as F

from peer_common import ResNet18, load_cifar, run_facts

MEAN = torch.tensor([0.4914, 0.4822, 0.4465])
STD = torch.tensor([0.2470, 0.2435, 0.2616])
ROUND_SECONDS = 0.05


def norm(channels):
    layer = nn.BatchNorm2d(channels, eps=1e-12, momentum=0.4)
    layer.weight.requires_grad_(False)
    return layer


class Group(nn.Module):
    """Two convolutions; the first is pooled before its normalisation."""

    def __init__(self, inputs, outputs):
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, outputs, 3, padding=1, bias=False)
        self.norm1 = norm(outputs)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, padding=1, bias=False)
        self.norm2 = norm(outputs)
        for conv in (self.conv1, self.conv2):
            nn.init.dirac_(conv.weight[:conv.in_channels])

    def forward(self, x):
        x = F.gelu(self.norm1(F.max_pool2d(self.conv1(x), 2)))
        return F.gelu(self.norm2(self.conv2(x)))


class Speedrun94(nn.Module):
    """1.97 million parameters: whitening, three groups, a scaled linear layer."""

    def __init__(self):
        super().__init__()
        self.whiten = nn.Conv2d(3, 24, 2)
        self.whiten.weight.requires_grad_(False)
        self.groups = nn.ModuleList([Group(24, 64), Group(64, 256), Group(256, 256)])
        self.head = nn.Linear(256, 10, bias=False)
        with torch.no_grad():
            self.head.weight.div_(self.head.weight.std())

    def forward(self, x):
        x = F.gelu(self.whiten(x))
        for group in self.groups:
            x = group(x)
        return self.head(F.max_pool2d(x, 3).flatten(1)) / x.shape[1]

    def set_whitening(self, images):
        """Eigenvectors of the 2x2 windows' second moments, scaled to unit variance, and negated."""
        windows = F.unfold(images, 2).transpose(1, 2).reshape(-1, 12)
        values, vectors = torch.linalg.eigh(windows.T @ windows / len(windows))
        filters = (vectors / torch.sqrt(values + 5e-4)).T.reshape(12, 3, 2, 2)
        with torch.no_grad():
            self.whiten.weight.copy_(torch.cat([filters, -filters]))


def orthogonalised(update):
    """Three Newton-Schulz steps towards the nearest matrix with equal singular values."""
    x = update.flatten(1).bfloat16()
    x = x / (x.norm() + 1e-7)
    for _ in range(3):
        gram = x @ x.T
        x = 3.4445 * x + (-4.7750 * gram + 2.0315 * gram @ gram) @ x
    return x.view_as(update).float()


class Muon:
    """Momentum 0.6 of Nesterov; the filters keep a norm of the square root of their number."""

    def __init__(self, filters):
        self.filters = filters
        self.momenta = [torch.zeros_like(p) for p in filters]

    @torch.no_grad()
    def step(self, rate):
        for p, momentum in zip(self.filters, self.momenta):
            momentum.mul_(0.6).add_(p.grad)
            update = p.grad + 0.6 * momentum
            p.mul_(math.sqrt(len(p)) / p.norm())
            p.add_(orthogonalised(update), alpha=-rate)


def images_of(pixels):
    return (pixels.float() / 255 - MEAN.view(1, 3, 1, 1)) / STD.view(1, 3, 1, 1)


class Loader:
    """Normalised once; cropped anew and mirrored in turns in every epoch."""

    def __init__(self, pixels, labels, batch, layout):
        images = images_of(pixels)
        mirrored = torch.rand(len(images)) < 0.5
        self.images = F.pad(torch.where(mirrored.view(-1, 1, 1, 1), images.flip(3), images),
                            (2,) * 4, "reflect")
        self.labels, self.batch, self.layout, self.epoch = labels, batch, layout, 0

    def __iter__(self):
        count = len(self.images)
        cropped = torch.empty(count, 3, 32, 32)
        offsets = torch.randint(5, (2, count))
        for dy in range(5):
            for dx in range(5):
                chosen = (offsets[0] == dy) & (offsets[1] == dx)
                cropped[chosen] = self.images[chosen, :, dy:dy + 32, dx:dx + 32]
        if self.epoch % 2 == 1:
            cropped = cropped.flip(3)
        self.epoch += 1
        order = torch.randperm(count)
        for first in range(0, count - self.batch + 1, self.batch):
            chosen = order[first:first + self.batch]
            yield cropped[chosen].contiguous(memory_format=self.layout), self.labels[chosen]


def scores_of_views(network, images):
    """Six views: the picture, two windows of the padded picture, and their mirror images."""
    def with_mirror(x):
        return 0.5 * network(x).float() + 0.5 * network(x.flip(3)).float()

    padded = F.pad(images, (1,) * 4, "reflect")
    shifted = [padded[:, :, at:at + 32, at:at + 32] for at in (0, 2)]
    return 0.5 * with_mirror(images) + 0.25 * sum(with_mirror(x) for x in shifted)


def full_run(options):
    with tempfile.TemporaryDirectory() as cache:
        train_x, train_y, test_x, test_y = load_cifar(options.data, options.cache or cache)
    torch.manual_seed(options.seed)
    network = Speedrun94().to(memory_format=options.layout)
    steps_per_epoch = len(train_x) // options.batch
    total = options.epochs * steps_per_epoch
    filters = [p for p in network.parameters() if p.dim() == 4 and p.requires_grad]
    norms = [p for name, p in network.named_parameters() if "norm" in name and p.requires_grad]
    decay = 2e-6 * options.batch
    rates = {"norm": 0.053, "whiten": 0.053, "head": 0.67}
    groups = [{"params": params, "lr": rates[name], "weight_decay": decay / rates[name],
               "name": name} for name, params in
              (("norm", norms), ("whiten", [network.whiten.bias]), ("head", [network.head.weight]))]
    sgd, muon = torch.optim.SGD(groups, momentum=0.85, nesterov=True), Muon(filters)
    frozen_from = max(1, round(total * 75 / 200))

    begin = time.perf_counter()
    network.set_whitening(images_of(train_x[:5000]))
    preparation = time.perf_counter() - begin
    begin, epoch_seconds, step, losses = time.perf_counter(), [], 0, []
    loader = Loader(train_x, train_y, options.batch, options.layout)
    for _ in range(options.epochs):
        network.train()
        for images, labels in loader:
            if step == frozen_from:
                network.whiten.bias.requires_grad_(False)
                network.whiten.bias.grad = None
            with torch.autocast("cpu", torch.bfloat16, enabled=options.math == "bf16"):
                scores = network(images)
            loss = F.cross_entropy(scores.float(), labels, label_smoothing=0.2, reduction="sum")
            loss.backward()
            left = 1 - step / total
            for group in sgd.param_groups:
                whole = frozen_from if group["name"] == "whiten" else total
                group["lr"] = rates[group["name"]] * max(0.0, 1 - step / whole)
            sgd.step()
            muon.step(0.24 * left)
            network.zero_grad(set_to_none=True)
            losses.append(loss.item() / options.batch)
            step += 1
        epoch_seconds.append(time.perf_counter() - begin)
        begin = time.perf_counter()
        print(f"epoch {len(epoch_seconds)}: loss {statistics.mean(losses[-steps_per_epoch:]):.4f}, "
              f"{epoch_seconds[-1]:.1f} s", flush=True)
    network.eval()
    hits = 0
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16, enabled=options.math == "bf16"):
        for first in range(0, len(test_x), options.batch):
            images = images_of(test_x[first:first + options.batch])
            scores = scores_of_views(network, images.contiguous(memory_format=options.layout))
            hits += (scores.argmax(1) == test_y[first:first + options.batch]).sum().item()
    evaluation = time.perf_counter() - begin
    return {"accuracy": hits / len(test_x), "hits": hits, "images": len(test_x),
            "trained_images": total * options.batch, "seed": options.seed,
            "seconds": preparation + sum(epoch_seconds) + evaluation,
            "sections": {"preparation": preparation, "epochs": epoch_seconds,
                         "evaluation": evaluation}}


def rounds_of(call, pictures, seconds):
    """Pictures a second of rounds of at least 50 ms."""
    call()
    begin = time.perf_counter()
    call()
    repeats = max(1, int(ROUND_SECONDS / max(time.perf_counter() - begin, 1e-7)))
    rates, end = [], time.perf_counter() + seconds
    while not rates or time.perf_counter() < end:
        begin = time.perf_counter()
        for _ in range(repeats):
            call()
        rates.append(repeats * pictures / (time.perf_counter() - begin))
    return {"images_per_second": statistics.median(rates), "low": min(rates), "high": max(rates),
            "rounds": len(rates)}


def make_network(options):
    torch.manual_seed(1)
    network = Speedrun94() if options.model == "speedrun94" else ResNet18()
    if options.compiled:
        network = torch.compile(network)
    return network.to(memory_format=options.layout)


def train_speed(options):
    network = make_network(options)
    if options.whole:
        network = network.bfloat16()
    wanted = [p for p in network.parameters() if p.requires_grad]
    optimizer = torch.optim.SGD(wanted, lr=0.0, momentum=0.9)
    pixels = torch.randint(0, 256, (options.batch, 3, 32, 32), dtype=torch.uint8)
    labels = torch.randint(0, 10, (options.batch,))

    def step():
        images = images_of(pixels).contiguous(memory_format=options.layout)
        if options.whole:
            images = images.bfloat16()
        optimizer.zero_grad()
        with torch.autocast("cpu", torch.bfloat16,
                            enabled=options.math == "bf16" and not options.whole):
            scores = network(images)
        F.cross_entropy(scores.float(), labels).backward()
        optimizer.step()

    return rounds_of(step, options.batch, options.seconds)


def infer_speed(options):
    network = make_network(options).eval()
    images = torch.randn(options.batch, 3, 32, 32).contiguous(memory_format=options.layout)

    @torch.inference_mode()
    def forward():
        with torch.autocast("cpu", torch.bfloat16, enabled=options.math == "bf16"):
            network(images)

    return rounds_of(forward, options.batch, options.seconds)


def main():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("run", "train", "infer"))
    parser.add_argument("--data", type=Path)
    parser.add_argument("--cache", type=Path, help="folder for decoded pictures")
    parser.add_argument("--model", choices=("speedrun94", "resnet18"), default="speedrun94")
    parser.add_argument("--epochs", type=int, default=8)
    parser.add_argument("--batch", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--seconds", type=float, default=2.0)
    parser.add_argument("--threads", type=int, default=0)
    parser.add_argument("--math", choices=("fp32", "bf16"), default="fp32")
    parser.add_argument("--layout", choices=("contiguous", "channels_last"),
                        default="channels_last")
    parser.add_argument("--whole", action="store_true",
                        help="train: the model itself in bf16, instead of autocast")
    parser.add_argument("--compiled", action="store_true", help="torch.compile")
    options = parser.parse_args()
    if options.what == "run" and options.data is None:
        parser.error("run needs --data")
    if options.threads:
        torch.set_num_threads(options.threads)
    named = {key: value for key, value in vars(options).items()
             if key in ("what", "model", "batch", "math", "layout", "compiled")}
    options.layout = (torch.channels_last if options.layout == "channels_last"
                      else torch.contiguous_format)
    work = {"run": full_run, "train": train_speed, "infer": infer_speed}[options.what]
    print(json.dumps({**named, **work(options), "facts": run_facts()}))


if __name__ == "__main__":
    main()
