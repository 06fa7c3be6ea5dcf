"""Training speed of ResNet-18 (CIFAR form) in PyTorch on the CPU, in f32 and in bf16: pure steps, the
data already tensors in memory.

A step is zero_grad, forward, cross-entropy, backward, SGD with momentum. Variants are a type and a
layout, such as autocast/channels_last:
  f32        all in f32
  autocast   f32 weights, torch.autocast to bf16 around forward and loss
  bf16       the model itself in bf16, model.bfloat16()

    bench/peers/peer-python bench/peers/bf16_speed.py --threads 2

answers requests, one JSON object a line, so that bench/peers/bf16_compare can take turns with kiln:
{"variant": "autocast/channels_last", "batch": 64, "seconds": 3} gives {"images_per_second": ...}.
"""

import argparse
import contextlib
import json
import sys
import time

import torch
from torch import nn

import peer_common

TYPES = ("f32", "autocast", "bf16")
LAYOUTS = ("contiguous", "channels_last")


class Trainer:
    """Network, optimizer and one batch of random pictures of one variant."""

    def __init__(self, variant, batch):
        torch.manual_seed(0)
        kind, layout = variant.split("/")
        order = torch.channels_last if layout == "channels_last" else torch.contiguous_format
        dtype = torch.bfloat16 if kind == "bf16" else torch.float32
        self._network = peer_common.ResNet18().to(memory_format=order).to(dtype)
        self._autocast = kind == "autocast"
        self._optimizer = torch.optim.SGD(self._network.parameters(), lr=0.001, momentum=0.9)
        self._images = torch.rand(batch, 3, 32, 32).contiguous(memory_format=order).to(dtype)
        self._labels = torch.randint(10, (batch,))
        self.step()

    def step(self):
        self._optimizer.zero_grad()
        narrow = torch.autocast("cpu", torch.bfloat16) if self._autocast else contextlib.nullcontext()
        with narrow:
            loss = nn.functional.cross_entropy(self._network(self._images), self._labels)
        loss.backward()
        self._optimizer.step()


def images_per_second(trainer, batch, seconds):
    count, begin = 0, time.perf_counter()
    while time.perf_counter() - begin < seconds:
        trainer.step()
        count += batch
    return count / (time.perf_counter() - begin)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--threads", type=int, default=2)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    print(json.dumps({"peer": f"PyTorch {torch.__version__}"}), flush=True)
    trainers = {}
    for line in sys.stdin:
        wanted = json.loads(line)
        key = wanted["variant"], wanted["batch"]
        if key not in trainers:
            trainers[key] = Trainer(*key)
        speed = images_per_second(trainers[key], wanted["batch"], wanted["seconds"])
        print(json.dumps({"images_per_second": speed}), flush=True)


if __name__ == "__main__":
    main()
