"""tools/scaling-model: its formulas against sums done by hand, and its check, which must be able to fail."""
import importlib.machinery
import importlib.util
import json
import math
import unittest

from fixture import TOOLS, ToolTest

LOADER = importlib.machinery.SourceFileLoader("scaling_model", str(TOOLS / "scaling-model"))
SPEC = importlib.util.spec_from_loader("scaling_model", LOADER)
model = importlib.util.module_from_spec(SPEC)
LOADER.exec_module(model)

# Inside a host 10 GB/s and 1 us; between hosts 8 Gbit/s, that is 1 GB/s, and 100 us.
LINKS = model.Links(gpus_per_host=4, inner_gbytes=10, inner_latency_us=1, outer_gbits=8,
                    outer_latency_us=100, utilisation=1.0)
PLAN = {"name": "net", "source": "a test", "step": {"forward_ms": 10, "backward_ms": 20,
                                                    "update_ms": 0},
        "buckets": [{"bytes": 4e6, "ready": 0.5}, {"bytes": 1e6, "ready": 1.0}],
        "links": {"gpus_per_host": 4, "inner_gbytes": 10, "inner_latency_us": 1, "outer_gbits": 8,
                  "outer_latency_us": 100, "utilisation": 1.0}}


def step(*buckets, jitter=0.0, forward=0.010, backward=0.020):
    return model.Step(forward, backward, 0.0, tuple(model.Bucket(*b) for b in buckets), jitter)


class Formulas(unittest.TestCase):
    def near(self, value, expected):
        self.assertTrue(math.isclose(value, expected, rel_tol=1e-12), (value, expected))

    def test_a_ring_sends_each_byte_nearly_twice(self):
        # 4 GPUs of one host, 8 MB: 6 messages of 2 MB.
        self.near(model.allreduce_seconds(8e6, 4, LINKS, "ring"), 6 * (1e-6 + 2e6 / 10e9))

    def test_a_ring_over_hosts_goes_at_the_pace_of_the_network(self):
        self.near(model.allreduce_seconds(8e6, 16, LINKS, "ring"), 30 * (1e-4 + 0.5e6 / 1e9))

    def test_hierarchical_is_a_ring_inside_and_one_between(self):
        self.near(model.allreduce_seconds(8e6, 16, LINKS, "hierarchical"),
                  6 * (1e-6 + 2e6 / 10e9) + 6 * (1e-4 + 2e6 / 1e9))

    def test_a_tree_has_a_logarithm_of_hops(self):
        chunk = model.CHUNK_BYTES
        hops = 6 * (1e-6 + chunk / 10e9) + 2 * 3 * (1e-4 + chunk / 1e9)
        self.near(model.allreduce_seconds(8e6, 32, LINKS, "tree"),
                  hops + 2 * (8e6 - chunk) / 1e9)

    def test_best_is_the_fastest_and_one_gpu_sends_nothing(self):
        for n in (4, 8, 64, 512):
            of = [model.allreduce_seconds(1e6, n, LINKS, a) for a in model.ALGORITHMS]
            self.assertEqual(of[-1], min(of[:-1]))
        for algorithm in model.ALGORITHMS:
            self.assertEqual(model.allreduce_seconds(1e6, 1, LINKS, algorithm), 0.0)

    def test_hosts_are_whole(self):
        with self.assertRaises(model.Fault):
            model.hosts_of(6, LINKS)
        self.assertEqual(model.hosts_of(3, LINKS), (1, 3))

    def test_a_sum_hides_behind_the_rest_of_backward(self):
        # 4 hosts in a ring: 1 MB takes 2.1 ms and fits into the 10 ms that are left.
        ring = model.allreduce_seconds(1e6, 16, LINKS, "hierarchical")
        hidden = model.step_on(16, step((1e6, 0.5)), LINKS, "hierarchical")
        self.near(hidden.seconds, 0.030)
        self.assertEqual(hidden.efficiency, 1.0)
        late = model.step_on(16, step((1e6, 1.0)), LINKS, "hierarchical")
        self.near(late.seconds, 0.030 + ring)
        self.near(late.exposed, ring)

    def test_sums_wait_for_each_other(self):
        ring = model.allreduce_seconds(8e6, 16, LINKS, "ring")
        self.assertGreater(ring, 0.010)
        result = model.step_on(16, step((8e6, 0.5), (8e6, 0.75)), LINKS, "ring")
        self.near(result.seconds, 0.010 + 0.010 + 2 * ring)
        self.near(result.communication, 2 * ring)

    def test_without_overlap_all_is_behind_backward(self):
        ring = model.allreduce_seconds(1e6, 16, LINKS, "ring")
        result = model.step_on(16, step((1e6, 0.5)), LINKS, "ring", overlap=False)
        self.near(result.seconds, 0.030 + ring)

    def test_all_wait_for_the_slowest(self):
        self.assertEqual(model.slowest_of(1), 0.0)
        self.assertAlmostEqual(model.slowest_of(2), 1 / math.sqrt(math.pi), delta=0.03)  # exact: 0.564
        self.assertAlmostEqual(model.slowest_of(512), 3.04, delta=0.02)
        result = model.step_on(2, step(jitter=0.1), LINKS, "ring")
        self.near(result.seconds, 0.030 * (1 + 0.1 * model.slowest_of(2)))

    def test_layers_fill_buckets_in_the_order_of_backward(self):
        layers = [{"bytes": 30, "share": 0.2}, {"bytes": 50, "share": 0.8}]
        buckets = model.buckets_of_layers(layers, 40)
        self.assertEqual([b.bytes for b in buckets], [40, 40])
        self.near(buckets[0].ready, 0.2 + 0.8 * 10 / 50)
        self.near(buckets[1].ready, 1.0)
        self.assertEqual([b.bytes for b in model.buckets_of_layers(layers, 64)], [64, 16])


class Program(ToolTest):
    def model(self, plan, *more):
        self.write({"plan.json": plan if isinstance(plan, str) else json.dumps(plan)})
        return self.run_tool("scaling-model", self.root / "plan.json", *more)

    def check(self, published):
        case = {**PLAN, "name": "net on 16", "use": "held out", "gpus": 16, "algorithm": "ring",
                "published": published, "tolerance": 0.01}
        self.write({"book.json": json.dumps({"assumed": "nothing", "common": {}, "cases": [case]})})
        return self.run_tool("scaling-model", "--check", self.root / "book.json")

    def test_says_what_it_assumes(self):
        code, output = self.model(PLAN, "--gpus", 1, 16)
        self.assertEqual(code, 0, output)
        for words in ("a model, not measured", "5 MB in 2 buckets", "8 Gbit/s", "jitter 0.0%",
                      "a test"):
            self.assertIn(words, output)
        self.assertRegex(output, r"\n +1 +30\.000 +0\.000 +0\.000 +100\.0%\n")

    def test_flags_win_over_the_file(self):
        def efficiency(*more):
            code, output = self.model(PLAN, "--gpus", 512, "--json", *more)
            self.assertEqual(code, 0, output)
            return json.loads(output)["results"][0]["efficiency"]

        self.assertLess(efficiency("--outer-gbits", 1), efficiency())
        self.assertLess(efficiency("--jitter", 0.1), efficiency())
        self.assertLess(efficiency("--no-overlap"), efficiency())

    def test_draws_a_picture(self):
        code, output = self.model(PLAN, "--plot", self.root / "out.svg")
        self.assertEqual(code, 0, output)
        picture = (self.root / "out.svg").read_text()
        self.assertIn("a model, not measured", picture)
        self.assertEqual(picture.count("<polyline"), 3)

    def test_a_figure_outside_its_tolerance_fails(self):
        links, one = model.links_of(PLAN), model.step_of(PLAN)
        true = model.step_on(16, one, links, "ring").efficiency
        code, output = self.check(true + 0.005)
        self.assertEqual(code, 0, output)
        code, output = self.check(true + 0.05)
        self.assertEqual(code, 1, output)
        self.assertIn("OUTSIDE  net on 16", output)
        self.assertIn("1 figures, 1 outside", output)

    def test_the_published_figures_are_met(self):
        code, output = self.run_tool("scaling-model", "--check")
        self.assertEqual(code, 0, output)
        self.assertIn("held out", output)

    def test_faults_are_named(self):
        for fault, words in (({**PLAN, "step": {}}, "forward_ms"),
                             ({**PLAN, "jitter": -1}, "must not be negative"),
                             ({**PLAN, "buckets": [{"bytes": 1, "ready": 2}]}, "ready at no share"),
                             ({**PLAN, "links": {**PLAN["links"], "outer_gbits": 0}}, "positive"),
                             ("{", "no JSON")):
            code, output = self.model(fault)
            self.assertEqual(code, 2, output)
            self.assertIn(words, output)
        code, output = self.model(PLAN, "--gpus", 6)
        self.assertEqual(code, 2, output)
        self.assertIn("6 GPUs are no whole number of hosts", output)
        self.assertEqual(self.run_tool("scaling-model")[0], 2)
        self.assertEqual(self.run_tool("scaling-model", self.root / "nowhere")[0], 2)


if __name__ == "__main__":
    unittest.main()
