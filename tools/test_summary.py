#!/usr/bin/env python3
"""Counts what a CTest run really ran, per device, and says what was skipped and why.

    tools/test_summary.py BUILD_DIR [--counts FILE] [--may-skip] [--at-least DEVICE=N ...]

Reads BUILD_DIR/ctest.junit.xml (`ctest --output-junit`) and the GoogleTest files in
BUILD_DIR/test-results. A GoogleTest case counts once; a test without such a file counts as one.
A test program that crashed, timed out, or ran no case is a failure whatever its file says; what
explains it best of its output follows, each line behind "  | ".

The device of a case is `cuda` or `emu` where a word of its full name is that, else `cpu`.
KILN_REQUIRE_DEVICES=cuda,cpu fails the count when no case passed on a named device.
"""
import argparse
import collections
import dataclasses
import os
import pathlib
import re
import sys
import xml.etree.ElementTree as ET

DEVICES = ("cpu", "emu", "cuda")
EXCERPT_LINES = 25  # of one failed program
EXCERPT_WIDTH = 160
# Where an explanation begins: a sanitizer's report, GoogleTest's failures, an uncaught exception.
EXPLANATION = re.compile(r"==\d+==\s*(ERROR|WARNING)|runtime error:|WARNING: ThreadSanitizer"
                         r"|: Failure$|terminate called|Traceback \(most recent")


@dataclasses.dataclass
class Case:
    name: str
    outcome: str  # passed, failed or skipped
    reason: str = ""

    @property
    def device(self) -> str:
        words = re.split(r"[^a-z0-9]+", self.name.lower())
        return next((d for d in DEVICES[1:] if d in words), DEVICES[0])


def gtest_cases(path: pathlib.Path, program: str) -> list[Case]:
    cases = []
    for test in ET.parse(path).getroot().iter("testcase"):
        name = f"{program}: {test.get('classname')}.{test.get('name')}"
        skipped = test.find("skipped")
        if test.find("failure") is not None:
            cases.append(Case(name, "failed"))
        elif test.get("status") == "notrun":
            cases.append(Case(name, "skipped", "disabled in the source"))
        elif skipped is not None or test.get("result") == "skipped":
            cases.append(Case(name, "skipped", skip_reason(skipped)))
        else:
            cases.append(Case(name, "passed"))
    return cases


def skip_reason(skipped: ET.Element | None) -> str:
    """GoogleTest writes `file:line`, then the streamed message."""
    lines = ((skipped.text or skipped.get("message") or "") if skipped is not None else "")
    lines = [line.strip() for line in lines.splitlines() if line.strip()]
    lines = [line for line in lines if not re.fullmatch(r"\S+:\d+", line)]
    return " ".join(lines) or "no reason given"


def last_line(test: ET.Element) -> str:
    lines = [line.strip() for line in (test.findtext("system-out") or "").splitlines()]
    return next((line for line in reversed(lines) if line), "no reason given")


def excerpt(test: ET.Element) -> list[str]:
    """The lines from the first that begins an explanation on, or else the last ones."""
    lines = [line.rstrip() for line in (test.findtext("system-out") or "").splitlines()]
    lines = [line for line in lines if line]
    first = next((i for i, line in enumerate(lines) if EXPLANATION.search(line)), None)
    shown = lines[-EXCERPT_LINES:] if first is None else lines[first:first + EXCERPT_LINES]
    return [line[:EXCERPT_WIDTH] for line in shown]


def print_excerpts(build: pathlib.Path) -> None:
    for test in ET.parse(build / "ctest.junit.xml").getroot().iter("testcase"):
        if test.get("status") != "fail":
            continue
        print(f"FAILED {test.get('name')} after {float(test.get('time') or 0):.0f} s")
        for line in excerpt(test):
            print(f"  | {line}")


def program_cases(test: ET.Element, results: pathlib.Path) -> list[Case]:
    """The cases of one CTest test."""
    name, status = test.get("name"), test.get("status")
    file = results / f"{name}.xml"
    try:
        cases = gtest_cases(file, name) if file.is_file() else []
    except ET.ParseError:
        return [Case(f"{name} (its result file is broken off)", "failed")]
    if status == "run":
        if file.is_file() and not cases:
            return [Case(f"{name} (ran no case)", "failed")]
        return cases or [Case(name, "passed")]
    if status == "fail":
        if not any(case.outcome == "failed" for case in cases):
            cases.append(Case(f"{name} (failed, crashed or timed out)", "failed"))
        return cases
    if status == "disabled":
        return [Case(name, "skipped", "disabled")]
    skipped = test.find("skipped")
    why = skipped.get("message", "") if skipped is not None else status
    if why.startswith("SKIP_"):  # the test's own word; all else is a test that could not start
        return [Case(name, "skipped", last_line(test).removeprefix("SKIPPED: "))]
    return [Case(f"{name} (not run: {why})", "failed")]


def collect(build: pathlib.Path) -> list[Case]:
    cases = []
    for test in ET.parse(build / "ctest.junit.xml").getroot().iter("testcase"):
        cases += program_cases(test, build / "test-results")
    return cases


def count(cases: list[Case], outcome: str, device: str | None = None) -> int:
    return sum(c.outcome == outcome and device in (None, c.device) for c in cases)


def print_report(cases: list[Case]) -> None:
    print(f"{'device':8}{'passed':>8}{'failed':>8}{'skipped':>8}")
    for device in DEVICES:
        numbers = [count(cases, outcome, device) for outcome in ("passed", "failed", "skipped")]
        print(f"{device:8}" + "".join(f"{n:8}" for n in numbers)
              + ("" if any(numbers) else "   (no test for this device in this build)"))
    by_reason = collections.defaultdict(list)
    for case in cases:
        if case.outcome == "skipped":
            by_reason[case.reason].append(case.name)
    if by_reason:
        print("skipped, and why:")
    for reason, names in sorted(by_reason.items()):
        more = f" and {len(names) - 2} more" if len(names) > 2 else ""
        print(f"  {len(names)}  {reason}\n       {', '.join(names[:2])}{more}")
    for case in cases:
        if case.outcome == "failed":
            print(f"FAILED {case.name}")


def shortfalls(cases: list[Case], minimums: list[str]) -> list[str]:
    required = {d: 1 for d in os.environ.get("KILN_REQUIRE_DEVICES", "").split(",") if d}
    for minimum in minimums:
        device, _, number = minimum.partition("=")
        required[device] = int(number)
    found = [(device, count(cases, "passed", device), least)
             for device, least in required.items()]
    return [f"{device}: {passed} passed, at least {least} expected"
            for device, passed, least in found if passed < least]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("build", type=pathlib.Path)
    parser.add_argument("--counts", type=pathlib.Path, help="also write the three numbers here")
    parser.add_argument("--may-skip", action="store_true",
                        help="it is no failure when every test skips itself")
    parser.add_argument("--at-least", action="append", default=[], metavar="DEVICE=N")
    arguments = parser.parse_args()
    try:
        cases = collect(arguments.build)
    except (OSError, ET.ParseError) as error:
        print(f"test_summary: {error}", file=sys.stderr)
        return 2
    print_report(cases)
    print_excerpts(arguments.build)
    faults = shortfalls(cases, arguments.at_least)
    passed, failed, skipped = (count(cases, o) for o in ("passed", "failed", "skipped"))
    if passed + failed == 0 and not (arguments.may_skip and skipped):
        faults.append("no test ran")
    for fault in faults:
        print(f"FAILED {fault}")
    failed += len(faults)
    if arguments.counts:
        arguments.counts.write_text(f"{passed} {failed} {skipped}\n", encoding="utf-8")
    print(f"{passed} passed, {failed} failed, {skipped} skipped")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
