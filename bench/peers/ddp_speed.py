"""Training speed of PyTorch's DistributedDataParallel over gloo on CPUs: one of its processes.

    RANK=0 WORLD_SIZE=2 bench/peers/peer-python bench/peers/ddp_speed.py --store FILE

bench/peers/ddp_compare starts all of them. The first one takes requests, one JSON object a line:
{"model": "lenet", "variant": "default", "batch": 64, "seconds": 0.5}, batch being that of each
process, and answers {"images_per_second": of all processes, "peak_rss_bytes": of the largest,
without the CUDA libraries that PyPI's torch loads}. A step is that of lenet_speed.py, its gradients
averaged by DDP.
"""

import argparse
import json
import os
import sys
import time

import torch
import torch.distributed as dist
from torch import nn

import lenet_speed
import peer_common

MODELS = {"lenet": peer_common.Net, "resnet18": peer_common.ResNet18}
BATCHES_IN_MEMORY = 8
WARM_UP_STEPS = 5


class Trainer:
    """A replica, its optimizer and a few batches of random pictures."""

    def __init__(self, model, variant, batch):
        torch.manual_seed(dist.get_rank())
        layout = torch.channels_last if variant == "channels_last" else torch.contiguous_format
        network = MODELS[model]().to(memory_format=layout)
        self._network = nn.parallel.DistributedDataParallel(network)
        self._optimizer = torch.optim.SGD(network.parameters(), lr=0.001, momentum=0.9)
        self._images = [torch.rand(batch, 3, 32, 32).contiguous(memory_format=layout)
                        for _ in range(BATCHES_IN_MEMORY)]
        self._labels = [torch.randint(10, (batch,)) for _ in range(BATCHES_IN_MEMORY)]
        self._batch, self._steps = batch, 0
        self.seconds_of(WARM_UP_STEPS)
        self.step_seconds = self.seconds_of(WARM_UP_STEPS) / WARM_UP_STEPS

    def step(self):
        at = self._steps % BATCHES_IN_MEMORY
        self._optimizer.zero_grad()
        loss = nn.functional.cross_entropy(self._network(self._images[at]), self._labels[at])
        loss.backward()
        self._optimizer.step()
        self._steps += 1

    def seconds_of(self, steps):
        """All processes begin together; the slowest counts."""
        dist.barrier()
        begin = time.perf_counter()
        for _ in range(steps):
            self.step()
        return largest(time.perf_counter() - begin)

    def images_per_second(self, seconds):
        steps = max(1, round(seconds / self.step_seconds))
        elapsed = self.seconds_of(steps)
        self.step_seconds = elapsed / steps
        return steps * self._batch * dist.get_world_size() / elapsed


def largest(value):
    tensor = torch.tensor([value], dtype=torch.float64)
    dist.all_reduce(tensor, dist.ReduceOp.MAX)
    return tensor.item()


def peak_bytes():
    own = peer_common.peak_rss_bytes() - lenet_speed.resident_cuda_library_bytes()
    return int(largest(own))


def serve():
    """All processes do what the first is asked to, until its input ends."""
    trainers, first = {}, dist.get_rank() == 0
    if first:
        print(json.dumps(peer_common.run_facts() | {"ranks": dist.get_world_size()}), flush=True)
    while True:
        request = [json.loads(sys.stdin.readline() or "null") if first else None]
        dist.broadcast_object_list(request)
        if request[0] is None:
            return
        key = tuple(request[0][name] for name in ("model", "variant", "batch"))
        if key not in trainers:
            trainers[key] = Trainer(*key)
        reply = {"images_per_second": trainers[key].images_per_second(request[0]["seconds"]),
                 "peak_rss_bytes": peak_bytes()}
        if first:
            print(json.dumps(reply), flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--store", required=True, help="file by which the processes meet")
    parser.add_argument("--threads", type=int, default=1, help="of each process")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    dist.init_process_group("gloo", init_method=f"file://{os.path.abspath(options.store)}",
                            rank=int(os.environ["RANK"]), world_size=int(os.environ["WORLD_SIZE"]))
    try:
        serve()
    finally:
        dist.destroy_process_group()


if __name__ == "__main__":
    main()
