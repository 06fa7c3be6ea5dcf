#!/usr/bin/env python3
"""Same stem everywhere: each op of kernels/include has its body, test, benchmark and oracle.

    tools/check_stems.py [--root DIR]

An op header is one that declares an `...Args` struct; the others hold values that ops share. A
gradient (`conv2d_grad`) may share test, benchmark and oracle with its forward op (`conv2d`).
"""
import argparse
import pathlib
import re
import sys

HOME = pathlib.Path(__file__).resolve().parent.parent
# What every op has; the first file that exists counts.
PLACES = {
    "body": ["kernels/cpu/{op}.cpp", "kernels/cpu/{op}_simd.cpp"],
    "GPU kernel": ["kernels/cuda/{op}.cu"],
    "test": ["tests/kernels/{op}_test.cpp"],
    "benchmark": ["bench/kernels/{op}_bench.cpp"],
    "oracle": ["tests/reference/{op}.h"],
}
SHARED_WITH_FORWARD = {"test", "benchmark", "oracle"}
# op -> {what: the file that stands for it}, each with its reason.
EXCEPTIONS: dict[str, dict[str, str]] = {
    # On a device these are a convolution, then relu and pooling.
    "conv2d_relu_maxpool": {"GPU kernel": "kernels/cuda/conv2d.cu"},
    "conv2d_relu_maxpool_grad": {"GPU kernel": "kernels/cuda/conv2d_grad.cu"},
}


def forward_of(op: str) -> str | None:
    return op.removesuffix("_grad") if op.endswith("_grad") else None


def missing(root: pathlib.Path, op: str, what: str) -> str | None:
    """The first expected file, if none of those that would do exists."""
    exception = EXCEPTIONS.get(op, {}).get(what)
    expected = [exception] if exception else [place.format(op=op) for place in PLACES[what]]
    forward = forward_of(op)
    if forward and what in SHARED_WITH_FORWARD and not exception:
        expected += [place.format(op=forward) for place in PLACES[what]]
    return None if any((root / path).is_file() for path in expected) else expected[0]


def ops_of(root: pathlib.Path) -> list[str]:
    headers = sorted((root / "kernels/include").glob("*.h"))
    return [h.stem for h in headers if re.search(r"\bstruct \w+Args\b", h.read_text("utf-8"))]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--root", type=pathlib.Path, default=HOME)
    root = parser.parse_args().root
    ops = ops_of(root)
    faults = [f"{op}: no {what}: {path} is missing"
              for op in ops for what in PLACES if (path := missing(root, op, what))]
    if root == HOME:
        faults += [f"{op}: in EXCEPTIONS, but no op of that name"
                   for op in EXCEPTIONS if op not in ops]
    for fault in faults:
        print(fault)
    print(f"check_stems: {len(ops)} ops, {len(faults)} faults")
    if not ops:
        print("check_stems: found no op; wrong --root?")
    return 1 if faults or not ops else 0


if __name__ == "__main__":
    sys.exit(main())
