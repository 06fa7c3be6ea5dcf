#!/usr/bin/env python3
"""Proves that a program carries no training code and needs no library of training.

    tests/link/check_lean.py [--plug-ins | --static] PROGRAM

Reads the symbols with nm and the needed libraries with readelf. With --plug-ins the program may
open them: the server does, for devices and hooks. With --static it must need no library and no
loader, and call dlopen() nowhere; the C library itself always holds it. Exit code 1 and one line per find
where something is there that a server must not have; 2 where the program cannot be judged.
"""
import re
import subprocess
import sys

# In demangled names. Kernels of our own end in these words; classes are spelled as they are.
SYMBOLS = {
    "a gradient": r"\bkiln::(\w+::|\(anonymous namespace\)::)*\w*_(grad|gradient|backward)\w*",
    "a kernel of training": r"\bkiln::.*\b\w*(_train|dropout|softmax_xent)\w*\(",
    "an optimizer": r"\bkiln::.*(\b(sgd|adam|adadelta)_\w+|\bOptimizer\b)",
    "the trainer": r"\bkiln::(Trainer|TrainPass|Evaluator|ParameterStore|Network|Layer)\b",
    "a gradient of a layer": r"\bkiln::.*\b(do_backward|plan_backward|Conv2dBackward)\b",
    "oneDNN": r"\b(dnnl|onednn)\w*",
    "MPI": r"\bMPI_\w+",
    "NCCL": r"\bnccl\w+",
    "cuDNN or cuBLAS": r"\b(cudnn|cublas)\w*",
    "the loader of plug-ins": r"(^|\s)(dlopen|dlmopen)(@|$)",
}
LOADER = "the loader of plug-ins"
# In a line of objdump.
LOADER_CALL = r"\b(call|jmp)\s.*<_*(dlopen|dlmopen)(@\S+)?>"
LIBRARIES = r"(dnnl|mpi|nccl|cudnn|cublas|cudart|libcuda\b|open-pal|pmix|tbb|gomp|torch)"
# A program without these was not read, or is not one that serves.
EXPECTED = r"\bkiln::infer::Session::run\("


def output_of(*command: str) -> str:
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def symbol_names(program: str) -> list[str]:
    lines = output_of("nm", "--demangle", program).splitlines()
    # "address type name" or "type name"
    return [re.sub(r"^\s*([0-9a-f]+)?\s*\w ", "", line) for line in lines]


def static_faults(program: str) -> list[str]:
    faults = []
    if "INTERP" in output_of("readelf", "--program-headers", "--wide", program):
        faults.append("a request for the dynamic loader")
    for line in output_of("readelf", "--dynamic", "--wide", program).splitlines():
        if "(NEEDED)" in line:
            faults.append(f"a library: {line.split('[')[-1].rstrip(']')}")
    caller = ""
    for line in output_of("objdump", "--disassemble", "--demangle", "--no-show-raw-insn",
                          program).splitlines():
        if line.endswith(">:"):
            caller = line.split("<", 1)[1][:-2]
        elif re.search(LOADER_CALL, line):
            faults.append(f"{LOADER}: a call of it in {caller}")
    return faults


def faults_of(program: str, may_load: bool) -> list[str]:
    faults = []
    for name in symbol_names(program):
        for what, pattern in SYMBOLS.items():
            if may_load and what == LOADER:
                continue
            if re.search(pattern, name):
                faults.append(f"{what}: {name}")
                break
    for line in output_of("readelf", "--dynamic", "--wide", program).splitlines():
        if "(NEEDED)" in line and re.search(LIBRARIES, line):
            faults.append(f"a library: {line.split('[')[-1].rstrip(']')}")
    return faults


def main() -> int:
    option = sys.argv[1] if len(sys.argv) == 3 else ""
    if len(sys.argv) != (3 if option else 2) or option not in ("", "--plug-ins", "--static"):
        print(__doc__, file=sys.stderr)
        return 2
    program = sys.argv[-1]
    try:
        names = symbol_names(program)
        faults = faults_of(program, may_load=option != "")
        if option == "--static":
            faults += static_faults(program)
    except (OSError, subprocess.CalledProcessError) as error:
        print(f"check_lean: {error}", file=sys.stderr)
        return 2
    if len(faults) == 0 and not any(re.search(EXPECTED, name) for name in names):
        print(f"check_lean: {program} has no symbol of a session; is it stripped?", file=sys.stderr)
        return 2
    for fault in faults:
        print(f"check_lean: {program} holds {fault}")
    print(f"check_lean: {len(names)} symbols, {len(faults)} that do not belong")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
