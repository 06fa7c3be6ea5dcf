"""bench/comm/two_hosts: the least that a step can take, and the timeline, on made-up figures."""

import importlib.machinery
import importlib.util
import unittest
from pathlib import Path

COMM = Path(__file__).resolve().parents[2] / "bench" / "comm"
LOADER = importlib.machinery.SourceFileLoader("two_hosts", str(COMM / "two_hosts"))
SPEC = importlib.util.spec_from_loader("two_hosts", LOADER)
two_hosts = importlib.util.module_from_spec(SPEC)
LOADER.exec_module(two_hosts)


def result(sums, *buckets):
    return {"step": {"forward_ms": 10.0, "backward_ms": 20.0, "update_ms": 1.0},
            "sums_ms": {"median": sums},
            "buckets": [{"bytes": b, "ready": r} for b, r in buckets]}


class TwoHosts(unittest.TestCase):
    def test_a_sum_that_fits_behind_backward_costs_nothing(self):
        self.assertAlmostEqual(two_hosts.floor_ms(result(10.0, (100, 0.5))), 31.0)

    def test_what_does_not_fit_is_waited_for(self):
        # 15 ms from 10 on, then 5 more: 30 of 20.
        self.assertAlmostEqual(two_hosts.floor_ms(result(20.0, (75, 0.5), (25, 1.0))), 41.0)

    def test_the_timeline_has_a_lane_for_every_bucket(self):
        events = [{"name": n, "pid": p, "tid": t, "ts": 1.0, "dur": 2.0}
                  for n, p, t in (("forward", 0, "computing"), ("conv1 backward", 0, "computing"),
                                  ("bucket 0", 0, "bucket 0"), ("bucket 1", 0, "bucket 1"),
                                  ("bucket 9", 1, "bucket 9"))]
        picture = two_hosts.timeline(events, "a <step>")
        self.assertEqual(picture.count("<rect"), 5)  # the ground and four events
        self.assertIn(">bucket 1</text>", picture)
        self.assertNotIn("bucket 9", picture)
        self.assertIn("a &lt;step&gt;", picture)


if __name__ == "__main__":
    unittest.main()
