"""Training speed of LeNet in PyTorch: pure steps, the data already tensors in memory.

A step is zero_grad, forward, cross-entropy, backward, SGD with momentum. Variants:
  default        NCHW tensors, plain eager PyTorch
  channels_last  model and data in channels_last
  fused_sgd      default with SGD(fused=True)
  compiled       torch.compile, default layout, SGD(fused=True); reported apart

    bench/peers/peer-python bench/peers/lenet_speed.py --threads 2 --out FILE.json

With --serve it answers requests, one JSON object a line, so that bench/peers/compare can take
turns with kiln in one warm process: {"variant": "default", "batch": 64, "seconds": 0.5} gives
{"images_per_second": ...}. With --memory it trains from 50,000 pictures of bytes and prints the
peak resident memory; with --first-step it prints the time from the import to the end of step 1.
"""

import time

PROCESS_START = time.monotonic()  # before torch is imported, which is part of starting up

import argparse  # noqa: E402
import json  # noqa: E402
import sys  # noqa: E402

import torch  # noqa: E402
from torch import nn  # noqa: E402

import measuring  # noqa: E402
import peer_common  # noqa: E402

VARIANTS = ("default", "channels_last", "fused_sgd", "compiled")
BATCHES = (4, 16, 64, 256, 512)
BATCHES_IN_MEMORY = 8
WARM_UP_STEPS = 5


class Trainer:
    """Network, optimizer and a few batches of random pictures of one variant."""

    def __init__(self, variant, batch):
        torch.manual_seed(0)
        layout = torch.channels_last if variant == "channels_last" else torch.contiguous_format
        network = peer_common.Net().to(memory_format=layout)
        fused = {"fused": True} if variant in ("fused_sgd", "compiled") else {}
        self._optimizer = torch.optim.SGD(network.parameters(), lr=0.001, momentum=0.9, **fused)
        self._network = torch.compile(network) if variant == "compiled" else network
        self._batch = batch
        self._images = [torch.rand(batch, 3, 32, 32).contiguous(memory_format=layout)
                        for _ in range(BATCHES_IN_MEMORY)]
        self._labels = [torch.randint(10, (batch,)) for _ in range(BATCHES_IN_MEMORY)]
        self._steps = 0
        for _ in range(WARM_UP_STEPS):
            self.step()

    def step(self):
        at = self._steps % BATCHES_IN_MEMORY
        self._optimizer.zero_grad()
        loss = nn.functional.cross_entropy(self._network(self._images[at]), self._labels[at])
        loss.backward()
        self._optimizer.step()
        self._steps += 1
        return loss

    def images_per_second(self, seconds, real_time=False):
        """Over as many whole steps as fill the time."""
        with measuring.real_time(real_time):
            self.step()
            start, first = time.perf_counter(), self._steps
            while (elapsed := time.perf_counter() - start) < seconds:
                self.step()
        return (self._steps - first) * self._batch / elapsed


def measure(options):
    trainers = {}
    failed = {}
    for variant in options.variants:
        for batch in options.batches:
            try:
                trainers[variant, batch] = Trainer(variant, batch)
            except Exception as error:  # torch.compile needs a C++ compiler and a known CPU
                failed[variant] = f"{type(error).__name__}: {error}".splitlines()[0]
                break
    sampler = measuring.QuietSampler(options.patience)
    samples = {key: [] for key in trainers}
    for _ in range(options.rounds):  # round by round, so that a noisy minute hits all alike
        for key, trainer in trainers.items():
            samples[key].append(sampler.sample(lambda t=trainer: timed(t, options)))
    return samples, failed


def timed(trainer, options):
    before = time.process_time()
    speed = trainer.images_per_second(options.seconds, options.real_time)
    return speed, time.process_time() - before


def summary(samples):
    """Of (images per second, share of the CPU that others took)."""
    noisy = sum(share > measuring.NOISY_FRACTION for _, share in samples)
    speeds = [round(speed, 1) for speed, _ in samples]
    return measuring.spread(speeds) | {"noisy_samples": noisy}


def print_table(samples):
    for (variant, batch), values in samples.items():
        found = summary(values)
        noise = f"  NOISY: {found['noisy_samples']} samples" if found["noisy_samples"] else ""
        print(f"{variant:14s} batch {batch:4d}  {found['median']:9,.0f} images/s   "
              f"({found['low']:,.0f} to {found['high']:,.0f}, {len(values)} rounds){noise}")


def serve():
    """One request a line; trainers are kept."""
    trainers = {}
    print(json.dumps(peer_common.run_facts()), flush=True)
    for line in sys.stdin:
        request = json.loads(line)
        key = request["variant"], request["batch"]
        try:
            if key not in trainers:
                trainers[key] = Trainer(*key)
            reply = {"images_per_second": trainers[key].images_per_second(
                request["seconds"], request.get("real_time", False))}
        except Exception as error:
            reply = {"error": f"{type(error).__name__}: {error}".splitlines()[0]}
        print(json.dumps(reply), flush=True)


def memory(batch, image_count, steps):
    """Peak resident bytes of training from a data set of bytes, normalised batch by batch."""
    pixels = torch.randint(256, (image_count, 3, 32, 32), dtype=torch.uint8)
    labels = torch.randint(10, (image_count,), dtype=torch.uint8)
    network = peer_common.Net()
    optimizer = torch.optim.SGD(network.parameters(), lr=0.001, momentum=0.9)
    order = torch.randperm(image_count)
    for step in range(steps):
        chosen = order[step * batch % image_count:][:batch]
        optimizer.zero_grad()
        scores = network(peer_common.normalise(pixels[chosen]))
        nn.functional.cross_entropy(scores, labels[chosen].long()).backward()
        optimizer.step()
    return {"batch": batch, "peak_rss_bytes": peer_common.peak_rss_bytes(),
            "data_bytes": pixels.numel() + labels.numel(),
            "cuda_library_bytes": resident_cuda_library_bytes()}


def resident_cuda_library_bytes():
    """Resident pages of the CUDA libraries that PyPI's torch loads; a CPU build has none."""
    total, in_cuda = 0, False
    words = ("cuda", "nvidia", "nvrtc", "nccl", "triton")
    with open("/proc/self/smaps", encoding="utf-8") as maps:
        for line in maps:
            fields = line.split()
            if "-" in fields[0]:
                path = fields[5] if len(fields) > 5 else ""
                in_cuda = any(word in path for word in words)
            elif in_cuda and fields[0] == "Rss:":
                total += int(fields[1]) * 1024
    return total


def first_step(batch):
    network = peer_common.Net()
    optimizer = torch.optim.SGD(network.parameters(), lr=0.001, momentum=0.9)
    loss = nn.functional.cross_entropy(network(torch.rand(batch, 3, 32, 32)),
                                       torch.randint(10, (batch,)))
    loss.backward()
    optimizer.step()
    return {"batch": batch, "seconds_to_first_step": time.monotonic() - PROCESS_START}


def parse_arguments():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--batches", type=int, nargs="+", default=list(BATCHES))
    parser.add_argument("--variants", nargs="+", choices=VARIANTS, default=list(VARIANTS))
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--seconds", type=float, default=0.5, help="of one sample")
    parser.add_argument("--real-time", action="store_true",
                        help="samples under SCHED_FIFO, as root: for a machine that others use")
    parser.add_argument("--patience", type=float, default=120.0,
                        help="seconds, in all, to spend on waiting for a quiet machine")
    parser.add_argument("--out", help="JSON file")
    parser.add_argument("--serve", action="store_true")
    parser.add_argument("--memory", action="store_true")
    parser.add_argument("--first-step", action="store_true")
    return parser.parse_args()


def main():
    options = parse_arguments()
    torch.set_num_threads(options.threads)
    if options.serve:
        serve()
    elif options.memory:
        with measuring.real_time(options.real_time):
            print(json.dumps(memory(options.batches[0], 50000, 100)))
    elif options.first_step:
        with measuring.real_time(options.real_time):
            print(json.dumps(first_step(options.batches[0])))
    else:
        samples, failed = measure(options)
        print_table(samples)
        result = peer_common.run_facts() | {
            "what": "LeNet training step, images per second",
            "real_time": options.real_time,
            "failed": failed,
            "results": [{"variant": variant, "batch": batch, "images_per_second": summary(values)}
                        for (variant, batch), values in samples.items()],
        }
        if options.out:
            peer_common.write_json(options.out, result)


if __name__ == "__main__":
    main()
