"""bench/peers/speedrun: its verdict on made-up figures, and what it reads of kiln-infer-bench."""

import importlib.machinery
import importlib.util
import sys
import types
import unittest
from pathlib import Path
from unittest import mock

PEERS = Path(__file__).resolve().parents[2] / "bench" / "peers"
sys.path.insert(0, str(PEERS))
LOADER = importlib.machinery.SourceFileLoader("speedrun", str(PEERS / "speedrun"))
SPEC = importlib.util.spec_from_loader("speedrun", LOADER)
speedrun = importlib.util.module_from_spec(SPEC)
LOADER.exec_module(speedrun)

TEXT = """session     1      120.5 us (118.0 to 131.2)       8299 pictures/s
network     1      150.0 us (149.0 to 160.0)       6667 pictures/s
session    32     3200.0 us (3100.0 to 3300.0)      10000 pictures/s
"""


def judged(kiln):
    return speedrun.judged("train", [kiln, 1.0, 500.0],
                           {"contiguous": [40.0, 50.0, 60.0],
                            "channels_last": [90.0, 100.0, 900.0]}, 1.8)


class Speedrun(unittest.TestCase):
    def test_the_medians_of_the_better_layout_count(self):
        case = judged(181.0)
        self.assertEqual(case["best"], "channels_last")
        self.assertAlmostEqual(case["ratio"], 1.81)
        self.assertTrue(case["met"])

    def test_bf16_is_held_to_more_forms_of_pytorch(self):
        self.assertEqual(speedrun.forms("fp32"), ["contiguous", "channels_last"])
        self.assertEqual(speedrun.forms("bf16")[2:],
                         ["contiguous --whole", "channels_last --whole"])

    def test_a_slow_kiln_misses(self):
        self.assertFalse(judged(179.0)["met"])

    def test_sessions_are_read_and_nothing_else(self):
        options = types.SimpleNamespace(bin=Path("bin"))
        with mock.patch.object(speedrun, "run_and_watch", lambda command: {"text": TEXT}):
            self.assertEqual(speedrun.kiln_sessions(options, "lenet"), {1: 8299.0, 32: 10000.0})
        with mock.patch.object(speedrun, "run_and_watch", lambda command: {"text": "nothing"}):
            with self.assertRaises(speedrun.ChildFailed):
                speedrun.kiln_sessions(options, "lenet")


if __name__ == "__main__":
    unittest.main()
