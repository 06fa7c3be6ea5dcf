#!/usr/bin/env python3
"""Holds check_lean.py to programs that it must take and refuse.

    tests/link/check_lean_test.py LEAN FAT
"""
import pathlib
import re
import subprocess
import sys

CHECKER = pathlib.Path(__file__).resolve().with_name("check_lean.py")
# Each is a find that the fat program must bring, so that no pattern is dead.
MUST_FIND = ["a gradient", "a kernel of training", "an optimizer", "the trainer",
             "the loader of plug-ins"]


def run(program: str) -> subprocess.CompletedProcess:
    return subprocess.run([sys.executable, "-B", str(CHECKER), program], capture_output=True,
                          text=True, check=False)


def main() -> int:
    lean, fat = sys.argv[1:]
    failures = []
    result = run(lean)
    if result.returncode != 0:
        failures.append(f"the lean program was refused:\n{result.stdout}{result.stderr}")
    result = run(fat)
    if result.returncode != 1:
        failures.append(f"the fat program was not refused: exit code {result.returncode}")
    for what in MUST_FIND:
        if not re.search(rf"holds {re.escape(what)}:", result.stdout):
            failures.append(f"nothing in the fat program was called {what}")
    for not_judged in ("/nonexistent", str(CHECKER)):
        result = run(not_judged)
        if result.returncode != 2:
            failures.append(f"{not_judged}: exit code {result.returncode}, not 2")
    for failure in failures:
        print(f"FAILED: {failure}")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
