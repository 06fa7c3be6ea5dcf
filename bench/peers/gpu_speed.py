"""What PyTorch reaches on a GPU: LeNet and ResNet-18 training steps, and single convolutions.

    bench/peers/peer-python bench/peers/gpu_speed.py --out FILE.json
    bench/peers/peer-python bench/peers/gpu_speed.py --cpu     every case once, tiny, no figures

  lenet        batches 64 and 512 in f32 (tf32 products): eager, cuda_graph (a captured eager step),
               compiled (torch.compile, mode max-autotune, which captures graphs too)
  resnet18     CIFAR form, batch 512, channels_last, autocast to bf16 and fp16: eager, compiled
  conv         3x3, 256 to 256 channels at 15x15 (batch 256) and 7x7 (512), as in bench/shapes.h; fp16
               and bf16 channels_last, forward and backward, the best of cuDNN by cudnn.benchmark

A step is zero_grad, forward, cross-entropy, backward, SGD with momentum; data lies on the device.
Times are of CUDA events around many steps, the median of the rounds. A case that fails is named
with its reason. Exit status 77 where PyTorch sees no GPU. Not yet run on a GPU.
"""

import argparse
import contextlib
import json
import statistics
import sys
import time

import torch
from torch import nn

import peer_common

TYPES = {"f32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}
WARM_UP = 12


class Training:
    """A network with its optimizer and one batch; step() is one training step."""

    def __init__(self, make, batch, dtype, device, layout):
        torch.manual_seed(0)
        self.network = make().to(device=device, memory_format=layout)
        self.forward = self.network
        self._dtype, self._device = dtype, device
        self._images = torch.rand(batch, 3, 32, 32, device=device).contiguous(memory_format=layout)
        self._labels = torch.randint(10, (batch,), device=device)
        # The scale of the loss that f16 needs costs a look at every gradient, as it does in kiln.
        self._scaler = torch.amp.GradScaler(device) if dtype == torch.float16 else None
        self._optimizer = torch.optim.SGD(self.network.parameters(), lr=0.001, momentum=0.9,
                                          fused=device == "cuda")

    def step(self):
        self._optimizer.zero_grad()
        narrow = self._dtype != torch.float32
        with torch.autocast(self._device, self._dtype) if narrow else contextlib.nullcontext():
            loss = nn.functional.cross_entropy(self.forward(self._images), self._labels)
        if self._scaler is None:
            loss.backward()
            self._optimizer.step()
            return
        self._scaler.scale(loss).backward()
        self._scaler.step(self._optimizer)
        self._scaler.update()


def captured(step):
    """The step as a CUDA graph, captured on a stream of its own after a warm-up."""
    stream = torch.cuda.Stream()
    stream.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(stream):
        for _ in range(WARM_UP):
            step()
    torch.cuda.current_stream().wait_stream(stream)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        step()
    return graph.replay


def seconds_per_call(call, options):
    """(median, lowest, highest) over the rounds; on the CPU one call is timed, to no purpose."""
    if options.cpu:
        start = time.perf_counter()
        call()
        return (time.perf_counter() - start,) * 3
    for _ in range(WARM_UP):
        call()
    samples = []
    calls = 0
    for round_number in range(options.rounds + 1):
        begin, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        begin.record()
        for _ in range(max(calls, 3)):
            call()
        end.record()
        end.synchronize()
        seconds = begin.elapsed_time(end) * 1e-3 / max(calls, 3)
        if round_number == 0:
            calls = int(options.seconds / seconds) + 1
        else:
            samples.append(seconds)
    return statistics.median(samples), min(samples), max(samples)


def training_call(case, options):
    device = "cpu" if options.cpu else "cuda"
    lenet = case["what"] == "lenet"
    layout = torch.contiguous_format if lenet else torch.channels_last
    training = Training(peer_common.Net if lenet else peer_common.ResNet18, case["batch"],
                        TYPES[case["type"]], device, layout)
    if case["variant"] == "compiled":
        mode = "default" if options.cpu else "max-autotune"
        training.forward = torch.compile(training.network, mode=mode)
    return captured(training.step) if case["variant"] == "cuda_graph" else training.step


def conv_call(case, options):
    device = "cpu" if options.cpu else "cuda"
    n, side, channels = case["batch"], case["side"], case["channels"]
    layout = {"device": device, "dtype": TYPES[case["type"]]}
    x = torch.rand(n, channels, side, side, **layout).to(memory_format=torch.channels_last)
    w = torch.rand(channels, channels, 3, 3, **layout).to(memory_format=torch.channels_last)
    if case["pass"] == "forward":
        return lambda: nn.functional.conv2d(x, w, padding=1)
    dy = torch.rand_like(x)
    return lambda: torch.ops.aten.convolution_backward(
        dy, x, w, None, [1, 1], [1, 1], [1, 1], False, [0, 0], 1, [True, True, False])


def conv_flops(case):
    passes = 1 if case["pass"] == "forward" else 2
    return 2 * passes * case["batch"] * case["side"] ** 2 * 9 * case["channels"] ** 2


def cases(tiny):
    """Every case; `tiny` shrinks batches and channels, so that a CPU runs them all in seconds."""
    found = [{"what": "lenet", "batch": 4 if tiny else batch, "type": "f32", "variant": variant}
             for batch in (64, 512) for variant in ("eager", "cuda_graph", "compiled")]
    found += [{"what": "resnet18", "batch": 2 if tiny else 512, "type": kind, "variant": variant}
              for kind in ("bf16", "fp16") for variant in ("eager", "compiled")]
    found += [{"what": "conv", "batch": 2 if tiny else batch, "side": side,
               "channels": 16 if tiny else 256, "type": kind, "pass": direction}
              for kind in ("fp16", "bf16") for side, batch in ((15, 256), (7, 512))
              for direction in ("forward", "backward")]
    return found


def not_here(case, options):
    """Why a case is left out on the CPU, or None."""
    if not options.cpu:
        return None
    if case.get("variant") == "cuda_graph":
        return "CUDA graphs need a GPU"
    if case.get("variant") == "compiled" and not options.compile:
        return "left out without --compile"
    return None


def measure(case, options):
    if reason := not_here(case, options):
        return case | {"skipped": reason}
    try:
        call = conv_call(case, options) if case["what"] == "conv" else training_call(case, options)
        median, low, high = seconds_per_call(call, options)
    except Exception as error:  # torch.compile needs a compiler, graphs a capturable optimizer
        return case | {"failed": f"{type(error).__name__}: {error}".splitlines()[0]}
    result = case | {"seconds": median, "low": low, "high": high}
    if case["what"] == "conv":
        return result | {"tflops": conv_flops(case) / median * 1e-12}
    return result | {"images_per_second": case["batch"] / median}


def parse_arguments():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", help="JSON file")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--seconds", type=float, default=0.2, help="of one round")
    parser.add_argument("--cpu", action="store_true", help="tiny cases once, to try the script")
    parser.add_argument("--compile", action="store_true", help="with --cpu: torch.compile too")
    return parser.parse_args()


def main():
    options = parse_arguments()
    if not options.cpu and not torch.cuda.is_available():
        print("skipped: PyTorch sees no GPU", file=sys.stderr)
        return 77
    if options.cpu:
        torch.set_num_threads(1)
    torch.backends.cudnn.benchmark = True
    torch.set_float32_matmul_precision("high")
    torch.backends.cudnn.allow_tf32 = True
    results = []
    for case in cases(options.cpu):
        results.append(measure(case, options))
        print(json.dumps(results[-1]), flush=True)
    device = "cpu, tiny" if options.cpu else torch.cuda.get_device_name()
    facts = peer_common.run_facts() | {"device": device, "cudnn": torch.backends.cudnn.version()}
    if options.out:
        peer_common.write_json(options.out, facts | {"results": results})
    failed = [case for case in results if "failed" in case]
    print(f"{len(results)} cases, {len(failed)} failed")
    return 1 if failed and options.cpu else 0


if __name__ == "__main__":
    sys.exit(main())
