#!/usr/bin/env python3
"""Kernels that must keep their data in registers: compiles sources and reads what ptxas reports.

    tools/check_kernel_resources.py [--nvcc NVCC] [--arch sm_80,sm_90] [--kernel NAME] FILE.cu...

Prints one line per kernel whose mangled name holds NAME: registers and static shared memory. Fails
where one spills or uses a stack frame, where no kernel matches, and where nvcc fails.
"""
import argparse
import pathlib
import re
import subprocess
import sys
import tempfile

HOME = pathlib.Path(__file__).resolve().parent.parent
ENTRY = re.compile(r"Compiling entry function '(\S+)' for '(\S+)'")
FRAME = re.compile(r"(\d+) bytes stack frame, (\d+) bytes spill stores, (\d+) bytes spill loads")
USED = re.compile(r"Used (\d+) registers(?:.*?(\d+) bytes smem)?")


def report_of(nvcc: str, source: pathlib.Path, archs: list[str]) -> str:
    """What ptxas says about every kernel of a source."""
    codes = [f"-gencode=arch=compute_{a.removeprefix('sm_')},code={a}" for a in archs]
    with tempfile.TemporaryDirectory() as folder:
        done = subprocess.run(
            [nvcc, "-std=c++20", f"-I{HOME}", *codes, "-Xptxas", "-v", "-c", str(source), "-o",
             f"{folder}/kernels.o"], capture_output=True, text=True, check=False)
    if done.returncode != 0:
        sys.exit(f"check_kernel_resources: {source} does not compile\n{done.stderr}")
    return done.stdout + done.stderr


def kernels_of(report: str) -> list[dict]:
    kernels: list[dict] = []
    for line in report.splitlines():
        if entry := ENTRY.search(line):
            kernels.append({"name": entry[1], "arch": entry[2]})
        elif not kernels:
            continue
        elif frame := FRAME.search(line):
            kernels[-1].setdefault("frame", [int(n) for n in frame.groups()])
        elif used := USED.search(line):
            kernels[-1].setdefault("used", (int(used[1]), int(used[2] or 0)))
    return kernels


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--nvcc", default="nvcc")
    parser.add_argument("--arch", default="sm_80,sm_90")
    parser.add_argument("--kernel", default="", help="part of the mangled name")
    parser.add_argument("sources", nargs="+", type=pathlib.Path)
    args = parser.parse_args()
    kernels, faults = 0, 0
    for source in args.sources:
        for kernel in kernels_of(report_of(args.nvcc, source, args.arch.split(","))):
            if args.kernel not in kernel["name"]:
                continue
            kernels += 1
            where = f"{source.name} {kernel['arch']} {kernel['name']}"
            if "frame" not in kernel or "used" not in kernel:
                print(f"{where}: ptxas reports no resources")
                faults += 1
                continue
            stack, stores, loads = kernel["frame"]
            registers, shared = kernel["used"]
            print(f"{where}: {registers} registers, {shared} bytes of shared memory")
            if stack or stores or loads:
                print(f"{where}: spills {stores + loads} bytes, stack frame {stack} bytes")
                faults += 1
    print(f"check_kernel_resources: {kernels} kernels, {faults} faults")
    if not kernels:
        print("check_kernel_resources: found no kernel; wrong --kernel?")
    return 1 if faults or not kernels else 0


if __name__ == "__main__":
    sys.exit(main())
