"""bench/peers/ddp_compare: its verdict on made-up figures, good and bad."""

import importlib.machinery
import importlib.util
import sys
import unittest
from pathlib import Path

PEERS = Path(__file__).resolve().parents[2] / "bench" / "peers"
sys.path.insert(0, str(PEERS))
LOADER = importlib.machinery.SourceFileLoader("ddp_compare", str(PEERS / "ddp_compare"))
SPEC = importlib.util.spec_from_loader("ddp_compare", LOADER)
ddp_compare = importlib.util.module_from_spec(SPEC)
LOADER.exec_module(ddp_compare)


def summary(kiln, kiln_bytes):
    speed = {"kiln": [kiln, kiln, 1.0], "default": [50.0, 60.0, 70.0],
             "channels_last": [90.0, 100.0, 500.0]}
    return ddp_compare.summary("lenet", 64, speed,
                               {"kiln": kiln_bytes, "default": 300, "channels_last": 900})


class DdpCompare(unittest.TestCase):
    def test_the_medians_of_the_better_layout_count(self):
        case = summary(160.0, 90)
        self.assertEqual(case["best_of_pytorch"], "channels_last")
        self.assertAlmostEqual(case["ratio"], 1.6)
        self.assertAlmostEqual(case["memory_ratio"], 0.3)
        self.assertEqual(ddp_compare.verdict(case), [])

    def test_a_slow_kiln_misses(self):
        self.assertEqual(ddp_compare.verdict(summary(149.0, 90)), ["lenet: speed"])

    def test_a_large_kiln_misses(self):
        self.assertEqual(ddp_compare.verdict(summary(160.0, 101)), ["lenet: memory"])


if __name__ == "__main__":
    unittest.main()
