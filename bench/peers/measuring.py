"""What the comparisons share: quiet-machine bookkeeping, child processes, tables. No torch here."""

import contextlib
import datetime
import json
import os
import statistics
import subprocess
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
TICKS_PER_SECOND = os.sysconf("SC_CLK_TCK")
NOISY_FRACTION = 0.05  # of the machine's CPU time, taken by others during a sample


def machine_busy_seconds():
    """CPU seconds that all cores spent working since boot (user, nice, system, irq, steal)."""
    fields = Path("/proc/stat").read_text().splitlines()[0].split()[1:]
    user, nice, system, _idle, _iowait, irq, softirq, steal = (int(f) for f in fields[:8])
    return (user + nice + system + irq + softirq + steal) / TICKS_PER_SECOND


def process_seconds(pid):
    """CPU seconds of one process, all its threads; 0 when it is gone."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    except (FileNotFoundError, ProcessLookupError):
        return 0.0
    return (int(fields[11]) + int(fields[12])) / TICKS_PER_SECOND


class ForeignLoad:
    """Share of the machine's CPU time that others took between start() and stop()."""

    def start(self):
        self._busy, self._time = machine_busy_seconds(), time.monotonic()
        return self

    def stop(self, own_seconds):
        elapsed = max(time.monotonic() - self._time, 1.0 / TICKS_PER_SECOND)
        foreign = machine_busy_seconds() - self._busy - own_seconds
        return max(0.0, foreign) / (elapsed * os.cpu_count())


def wait_until_quiet(limit_seconds):
    """Waits for a moment in which the machine did next to nothing. False at the limit."""
    end = time.monotonic() + limit_seconds
    while True:
        load = ForeignLoad().start()
        time.sleep(0.3)
        if load.stop(0.0) < NOISY_FRACTION:
            return True
        if time.monotonic() >= end:
            return False


@contextlib.contextmanager
def real_time(wanted):
    """Gives all threads of this process SCHED_FIFO meanwhile: others stand still (needs root).

    Samples must stay below the 0.95 s a second that Linux grants to real-time threads.
    """
    def set_all(policy, priority):
        for thread in os.listdir("/proc/self/task"):
            os.sched_setscheduler(int(thread), policy, os.sched_param(priority))

    if wanted:
        set_all(os.SCHED_FIFO, 10)
    try:
        yield
    finally:
        if wanted:
            set_all(os.SCHED_OTHER, 0)


class QuietSampler:
    """Takes samples again while others disturb them, for `patience` seconds in all."""

    def __init__(self, patience):
        self._patience = patience

    def sample(self, take):
        """take() gives (value, own CPU seconds); returns the value and the others' share."""
        while True:
            start = time.monotonic()
            if self._patience > 0.0:
                wait_until_quiet(self._patience)
                self._patience -= time.monotonic() - start
            load = ForeignLoad().start()
            value, own_seconds = take()
            foreign = load.stop(own_seconds)
            if foreign <= NOISY_FRACTION or self._patience <= 0.0:
                return value, foreign


def default_bin():
    """The first folder of the usual builds that holds kiln."""
    folders = [ROOT / "build" / name / "bin" for name in ("bench", "release", "lean", "")]
    return next((folder for folder in folders if (folder / "kiln").exists()), folders[0])


class ChildFailed(RuntimeError):
    """A program that the comparison needs did not do its part."""


def run_and_watch(command, on_poll=lambda: None, poll_seconds=0.002, **options):
    """Runs a child to its end. Returns its text, peak resident bytes, CPU and wall seconds.

    The peak is VmHWM, read while the child runs: wait4's maximum would include this Python's own
    pages, which a child shares before it becomes another program.
    """
    peak, start, cpu = 0, time.monotonic(), os.times()
    with tempfile.TemporaryFile("w+", encoding="utf-8", errors="replace") as output:
        with subprocess.Popen([str(part) for part in command], stdout=output,
                              stderr=subprocess.STDOUT, **options) as child:
            while child.poll() is None:
                peak = max(peak, peak_resident_bytes(child.pid))
                on_poll()
                time.sleep(poll_seconds)
        output.seek(0)
        text = output.read()
    after = os.times()
    if child.returncode != 0:
        raise ChildFailed(f"{' '.join(map(str, command))} failed with {child.returncode}:\n{text}")
    used = after.children_user + after.children_system - cpu.children_user - cpu.children_system
    return {"text": text, "peak_rss_bytes": peak, "cpu_seconds": used,
            "seconds": time.monotonic() - start}


def peak_resident_bytes(pid):
    """VmHWM of the process, or of the largest program that it started."""
    peaks = [0]
    try:
        for line in Path(f"/proc/{pid}/status").read_text().splitlines():
            if line.startswith("VmHWM"):
                peaks.append(int(line.split()[1]) * 1024)
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    except (FileNotFoundError, ProcessLookupError):
        return max(peaks)
    return max(peaks + [peak_resident_bytes(int(child)) for child in children])


def last_json(text):
    """The last line that is a JSON object: programs may log before it."""
    for line in reversed(text.splitlines()):
        if line.startswith("{"):
            return json.loads(line)
    raise ChildFailed(f"no JSON object in the output:\n{text}")


def spread(values):
    return {"median": statistics.median(values), "low": min(values), "high": max(values),
            "samples": values}


def commit_name():
    """The commit of this checkout; "unknown" without git or a repository."""
    try:
        run = subprocess.run(["git", "-C", ROOT, "rev-parse", "--short", "HEAD"],
                             capture_output=True, text=True, check=False)
    except FileNotFoundError:
        return "unknown"
    return run.stdout.strip() or "unknown"


def facts():
    model = next((line.split(":", 1)[1].strip() for line in
                  Path("/proc/cpuinfo").read_text().splitlines() if line.startswith("model name")),
                 "unknown")
    now = datetime.datetime.now(datetime.timezone.utc)
    return {"date": now.strftime("%Y-%m-%d %H:%M UTC"), "cpu": model, "cores": os.cpu_count(),
            "commit": commit_name()}


def write_json(path, value):
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f"{path.name}.{os.getpid()}.partial")
    partial.write_text(json.dumps(value, indent=1) + "\n")
    partial.rename(path)
