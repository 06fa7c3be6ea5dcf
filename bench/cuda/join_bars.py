#!/usr/bin/env python3
"""One table of what kiln and PyTorch measured on the same GPU, and the ops farthest from their floor.

    bench/cuda/join_bars.py [--peers FILE] [--steps FILE] KERNELS.json...

KERNELS.json: what kiln-bench-device wrote with --benchmark_out. --peers: what bench/peers/gpu_speed.py
wrote. --steps: lines "MODEL BATCH MATH IMAGES_PER_SECOND" of kiln's training steps. Every ratio is
kiln's rate over PyTorch's best one; nothing is judged where a side is missing. Not yet run on a GPU.
"""
import argparse
import json
import pathlib
import sys

COPY_BAR = 0.88  # of the measured copy, at 256 MiB and more
MEBIBYTES = 256


def runs_of(path: pathlib.Path) -> tuple[str, list[dict]]:
    """The element type of a file and its timed cases."""
    content = json.loads(path.read_text(encoding="utf-8"))
    runs = [run for run in content["benchmarks"] if not run.get("error_occurred")]
    return content["context"].get("element_type", "?"), runs


def best_rate(results: list[dict], **wanted) -> float | None:
    rate = "tflops" if wanted["what"] == "conv" else "images_per_second"
    found = [r[rate] for r in results
             if rate in r and all(r[key] == value for key, value in wanted.items())]
    return max(found, default=None)


def conv_rows(runs_by_type: dict, peers: list[dict]):
    """(name, kiln, PyTorch) in TFLOP/s; kiln's batch is the benchmark's own."""
    for kind, name in (("bf16", "bf16"), ("f16", "fp16")):
        for side in (15, 7):
            for op, direction in (("conv2d", "forward"), ("conv2d_grad", "backward")):
                prefix = f"{op}/conv_256_256_at{side}/"
                own = [run["GFLOP/s"] * 1e-3 for run in runs_by_type.get(kind, [])
                       if run["name"].startswith(prefix)]
                peer = best_rate(peers, what="conv", side=side, type=name, **{"pass": direction})
                yield f"{prefix.rstrip('/')} {name}, TFLOP/s", max(own, default=None), peer


def step_rows(lines: list[str], peers: list[dict]):
    names = {"fp32": "f32", "tf32": "f32"}
    for line in lines:
        model, batch, math, rate = line.split()
        peer = best_rate(peers, what=model, batch=int(batch), type=names.get(math, math))
        yield f"{model} step, batch {batch}, {math}, images/s", float(rate), peer


def print_row(name: str, own: float | None, peer: float | None) -> None:
    def text(value):
        return "-" if value is None else f"{value:,.1f}"

    ratio = f"{own / peer:.2f}x" if own and peer else "-"
    print(f"{name:52s} {text(own):>14s} {text(peer):>14s} {ratio:>8s}")


def print_memory_bound(runs_by_type: dict) -> None:
    """Large cases by their fraction of the copy, the worst first."""
    large = [(run["copy"], kind, run) for kind, runs in runs_by_type.items() for run in runs
             if run["name"].split("/manual_time")[0].endswith("/large")
             and run.get("MiB", 0) >= MEBIBYTES]
    below = sum(fraction < COPY_BAR for fraction, _, _ in large)
    print(f"\nmemory-bound ops at {MEBIBYTES} MiB and more: {len(large)} cases, {below} below "
          f"{COPY_BAR:.0%} of the copy")
    for fraction, kind, run in sorted(large, key=lambda entry: entry[0]):
        print(f"  {fraction:6.1%}  {run['GB/s']:9.1f} GB/s  {run['name']} {kind}")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--peers", type=pathlib.Path)
    parser.add_argument("--steps", type=pathlib.Path)
    parser.add_argument("kernels", nargs="+", type=pathlib.Path)
    args = parser.parse_args()
    runs_by_type: dict[str, list[dict]] = {}
    for path in args.kernels:
        kind, runs = runs_of(path)
        runs_by_type.setdefault(kind, []).extend(runs)
    peers = json.loads(args.peers.read_text(encoding="utf-8"))["results"] if args.peers else []
    steps = args.steps.read_text(encoding="utf-8").splitlines() if args.steps else []
    print(f"{'':52s} {'kiln':>14s} {'PyTorch, best':>14s} {'ratio':>8s}")
    for row in [*step_rows(steps, peers), *conv_rows(runs_by_type, peers)]:
        print_row(*row)
    print_memory_bound(runs_by_type)
    return 0


if __name__ == "__main__":
    sys.exit(main())
