#!/usr/bin/env python3
"""Holds check_lean.py to programs that it must take and refuse.

    tests/link/check_lean_test.py LEAN FAT SERVER

SERVER may open plug-ins.
"""
import pathlib
import re
import subprocess
import sys

import check_lean

CHECKER = pathlib.Path(__file__).resolve().with_name("check_lean.py")
# Each is a find that the fat program must bring, so that no pattern is dead.
MUST_FIND = ["a gradient", "a kernel of training", "an optimizer", "the trainer",
             "the loader of plug-ins"]
# What no program of this build holds is planted: for every pattern a name that it must find.
PLANTED = {
    "a gradient": "kiln::cpu::maxpool_grad(kiln::Context&, kiln::MaxpoolGradArgs const&)",
    "a kernel of training": "kiln::cpu::batchnorm_train(kiln::Context&)",
    "an optimizer": "kiln::cpu::sgd_step(kiln::Context&)",
    "the trainer": "vtable for kiln::Trainer",
    "a gradient of a layer": "kiln::Linear::do_backward(kiln::Context&, kiln::Memory const&)",
    "oneDNN": "dnnl_engine_create",
    "MPI": "MPI_Init",
    "NCCL": "ncclAllReduce",
    "cuDNN or cuBLAS": "cudnnCreate",
    "the loader of plug-ins": "dlopen@GLIBC_2.34",
}
LIBRARIES = ["libdnnl.so.2", "libmpi.so.40", "libnccl.so.2", "libcudnn.so.9", "libcublasLt.so.13",
             "libcudart.so.13", "libcuda.so.1", "libtbb.so.12", "libgomp.so.1"]
HARMLESS = ["kiln::infer::Session::run(long)", "kiln::cpu::relu(kiln::Context&)", "std::terminate()",
            "kiln::Block* std::__copy_move_backward<true>::__copy_move_b<kiln::Block>()",
            "std::__copy_move_backward_a1<true, kiln::serve::(anonymous namespace)::Request>()"]
LOADER_CALLS = ["  2064: call   49d0 <___dlopen>", "  2064: jmp    49d0 <dlmopen>",
                "  2064: call   1050 <dlopen@plt>"]
OTHER_CALLS = ["  2064: call   49d0 <dlopen_doit>", "  2064: lea    0x1(%rip),%rdi # 9 <___dlopen>"]
HARMLESS_LIBRARIES = ["libstdc++.so.6", "libm.so.6", "libgcc_s.so.1", "libc.so.6"]


def pattern_faults() -> list[str]:
    faults = [f"no name is planted for {what}" for what in check_lean.SYMBOLS.keys() - PLANTED.keys()]
    for what, name in PLANTED.items():
        if not re.search(check_lean.SYMBOLS[what], name):
            faults.append(f"{name} was not called {what}")
    for name in HARMLESS:
        faults += [f"{name} was called {what}" for what, pattern in check_lean.SYMBOLS.items()
                   if re.search(pattern, name)]
    for calls, found in ((LOADER_CALLS, True), (OTHER_CALLS, False)):
        faults += [f"{call}: found is not {found}" for call in calls
                   if bool(re.search(check_lean.LOADER_CALL, call)) != found]
    for libraries, found in ((LIBRARIES, True), (HARMLESS_LIBRARIES, False)):
        faults += [f"{library}: found is not {found}" for library in libraries
                   if bool(re.search(check_lean.LIBRARIES, library)) != found]
    return faults


def run(*arguments: str) -> subprocess.CompletedProcess:
    return subprocess.run([sys.executable, "-B", str(CHECKER), *arguments], capture_output=True,
                          text=True, check=False)


def main() -> int:
    lean, fat, server = sys.argv[1:]
    failures = pattern_faults()
    result = run(lean)
    if result.returncode != 0:
        failures.append(f"the lean program was refused:\n{result.stdout}{result.stderr}")
    result = run(fat)
    if result.returncode != 1:
        failures.append(f"the fat program was not refused: exit code {result.returncode}")
    for what in MUST_FIND:
        if not re.search(rf"holds {re.escape(what)}:", result.stdout):
            failures.append(f"nothing in the fat program was called {what}")
    result = run("--plug-ins", server)
    if result.returncode != 0:
        failures.append(f"the server was refused:\n{result.stdout}{result.stderr}")
    if f"holds {check_lean.LOADER}" not in run(server).stdout:
        failures.append("the server opens plug-ins, and that was not seen")
    result = run("--static", server)
    for what in ("a request for the dynamic loader", "a library: libc.so", check_lean.LOADER):
        if result.returncode != 1 or what not in result.stdout:
            failures.append(f"{what} was not found in a server that is not static")
    for not_judged in ("/nonexistent", str(CHECKER)):
        result = run(not_judged)
        if result.returncode != 2:
            failures.append(f"{not_judged}: exit code {result.returncode}, not 2")
    for failure in failures:
        print(f"FAILED: {failure}")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
