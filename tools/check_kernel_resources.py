#!/usr/bin/env python3
"""Kernels that must keep their data in registers: compiles sources and reads what ptxas reports.

    tools/check_kernel_resources.py [--nvcc NVCC] [--arch sm_80,sm_90] [--kernel NAME] [--wide]
        [--except REGEX] FILE.cu...

Prints one line per kernel whose mangled name holds NAME and not REGEX: registers and static shared
memory. Fails where one spills or uses a stack frame, where no kernel matches, and where nvcc fails.
With --wide also where a kernel moves nothing 16 bytes at once, as its PTX says; ptxas keeps the width.
"""
import argparse
import concurrent.futures
import os
import pathlib
import re
import subprocess
import sys
import tempfile

HOME = pathlib.Path(__file__).resolve().parent.parent
ENTRY = re.compile(r"Compiling entry function '(\S+)' for '(\S+)'")
FRAME = re.compile(r"(\d+) bytes stack frame, (\d+) bytes spill stores, (\d+) bytes spill loads")
USED = re.compile(r"Used (\d+) registers(?:.*?(\d+) bytes smem)?")

PTX_ENTRY = re.compile(r"\.entry (\w+)")
WIDE = re.compile(r"(?:ld|st)\.global(?:\.\w+)*?\.(?:v4\.[a-z]32|v2\.[a-z]64)")


def compile_source(nvcc: str, source: pathlib.Path, archs: list[str]) -> tuple[str, set[str]]:
    """What ptxas says about every kernel of a source, and wide_kernels() of its PTX."""
    codes = [f"-gencode=arch=compute_{a.removeprefix('sm_')},code={a}" for a in archs]
    with tempfile.TemporaryDirectory() as folder:
        done = subprocess.run(
            [nvcc, "-std=c++20", f"-I{HOME}", *codes, "-Xptxas", "-v", "--keep", "--keep-dir",
             folder, "-c", str(source), "-o", f"{folder}/kernels.o"],
            capture_output=True, text=True, check=False)
        if done.returncode != 0:
            sys.exit(f"check_kernel_resources: {source} does not compile\n{done.stderr}")
        texts = [ptx.read_text() for ptx in pathlib.Path(folder).glob("*.ptx")]
    if len(texts) != len(archs):
        sys.exit(f"check_kernel_resources: nvcc kept {len(texts)} PTX files of {source.name}")
    return done.stdout + done.stderr, set.intersection(*map(wide_kernels, texts))


def wide_kernels(ptx: str) -> set[str]:
    """The mangled names of the kernels that load or store 16 bytes at once."""
    # What stands behind an entry's name, up to the next one, is its parameters and its body.
    parts = PTX_ENTRY.split(ptx)[1:]
    return {name for name, body in zip(parts[::2], parts[1::2]) if WIDE.search(body)}


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
    parser.add_argument("--wide", action="store_true", help="each must move 16 bytes at once")
    parser.add_argument("--except", dest="left_out", help="regex: kernels to leave out")
    parser.add_argument("sources", nargs="+", type=pathlib.Path)
    args = parser.parse_args()
    kernels, faults = 0, 0
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        compiled = list(pool.map(lambda s: compile_source(args.nvcc, s, args.arch.split(",")),
                                 args.sources))
    for source, (report, wide) in zip(args.sources, compiled):
        for kernel in kernels_of(report):
            if args.kernel not in kernel["name"]:
                continue
            if args.left_out and re.search(args.left_out, kernel["name"]):
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
            if args.wide and kernel["name"] not in wide:
                print(f"{where}: moves nothing 16 bytes at once")
                faults += 1
    print(f"check_kernel_resources: {kernels} kernels, {faults} faults")
    if not kernels:
        print("check_kernel_resources: found no kernel; wrong --kernel?")
    return 1 if faults or not kernels else 0


if __name__ == "__main__":
    sys.exit(main())
