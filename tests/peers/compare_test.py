"""bench/peers/compare against made-up programs: it passes, misses and fails when it should."""

import json
import os
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path

COMPARE = Path(__file__).resolve().parents[2] / "bench" / "peers" / "compare"

STEP_BENCH = """#!{python}
import json, sys
threads = int(sys.argv[sys.argv.index("--threads") + 1])
print("a line of log")
print(json.dumps({{"model": "lenet", "images_per_second": {speed} * threads}}))
"""

KILN = """#!{python}
import pathlib, sys, time
if {fails}:
    sys.exit("kiln: cannot read the data")
model = pathlib.Path(sys.argv[sys.argv.index("--model-dir") + 1])
data = pathlib.Path(sys.argv[sys.argv.index("--data") + 1])
held = b"".join(path.read_bytes() for path in sorted(data.glob("*.bin")))
model.mkdir(parents=True)
(model / "metrics.jsonl").write_text('{{"step": 1, "loss": 2.3}}\\n')
time.sleep(0.05)
"""

PEER = """#!{python}
import json, sys
if "--serve" in sys.argv:
    print(json.dumps({{"peer": "made-up PyTorch"}}), flush=True)
    for line in sys.stdin:
        variant = json.loads(line)["variant"]
        if variant == "compiled":
            print(json.dumps({{"error": "no compiler"}}), flush=True)
        else:
            speed = {{"default": 100.0, "channels_last": 200.0}}[variant]
            print(json.dumps({{"images_per_second": speed}}), flush=True)
elif "--memory" in sys.argv:
    print(json.dumps({{"peak_rss_bytes": 10**10, "data_bytes": 0, "cuda_library_bytes": 10**9}}))
else:
    print(json.dumps({{"seconds_to_first_step": 900.0}}))
"""


class Compare(unittest.TestCase):
    def setUp(self):
        self._scratch = tempfile.TemporaryDirectory()
        self.addCleanup(self._scratch.cleanup)
        self.folder = Path(self._scratch.name)

    def program(self, name, text, **values):
        path = self.folder / name
        path.write_text(text.format(python=sys.executable, **values))
        path.chmod(0o755)
        return path

    def compare(self, *arguments, speed=1000.0, fails=False):
        self.program("kiln-step-bench", STEP_BENCH, speed=speed)
        self.program("kiln", KILN, fails=fails)
        peer = self.program("peer", PEER)
        return subprocess.run(
            [sys.executable, COMPARE, "--bin", self.folder, "--rounds", "2", "--seconds", "0.01",
             "--patience", "0", "--variants", "default", "channels_last", "compiled",
             "--out", self.folder / "result.json", *arguments],
            env=os.environ | {"KILN_PEER_PYTHON": str(peer), "PYTHONDONTWRITEBYTECODE": "1"},
            capture_output=True, text=True, check=False)

    def test_ratio_is_taken_against_the_better_layout(self):
        run = self.compare("--parts", "speed", "--batches", "64")
        self.assertEqual(run.returncode, 0, run.stdout + run.stderr)
        found = json.loads((self.folder / "result.json").read_text())["speed"][0]
        self.assertEqual((found["best_of_pytorch"], found["ratio"]), ("channels_last", 10.0))
        self.assertIn("compiled left out", run.stdout)

    def test_a_slow_kiln_misses_the_bar(self):
        run = self.compare("--parts", "speed", "--batches", "64", speed=500.0)  # 5x of 6x
        self.assertEqual(run.returncode, 1)
        self.assertIn("MISSED speed at batch 64", run.stdout)

    def test_scaling(self):
        run = self.compare("--parts", "scaling")
        self.assertEqual(run.returncode, 0, run.stdout + run.stderr)
        self.assertIn("met    scaling", run.stdout)

    def test_memory_counts_what_is_beyond_the_data(self):
        run = self.compare("--parts", "memory")
        self.assertEqual(run.returncode, 0, run.stdout + run.stderr)
        memory = json.loads((self.folder / "result.json").read_text())["memory"]
        # The made-up kiln holds the data twice for a moment: once in parts, once joined.
        self.assertGreater(memory["kiln_bytes"], 100 << 20)
        self.assertEqual(memory["pytorch_without_cuda_bytes"], 9 * 10**9)

    def test_start_is_the_first_step_in_the_metrics(self):
        run = self.compare("--parts", "start")
        start = json.loads((self.folder / "result.json").read_text())["start"]
        self.assertLess(start["kiln_seconds"]["low"], start["pytorch_seconds"]["low"], run.stdout)

    def test_a_failing_kiln_is_no_measurement(self):
        run = self.compare("--parts", "memory", fails=True)
        self.assertNotEqual(run.returncode, 0)
        self.assertIn("cannot read the data", run.stdout + run.stderr)
        self.assertFalse((self.folder / "result.json").exists())


if __name__ == "__main__":
    unittest.main()
