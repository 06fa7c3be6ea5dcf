"""bench/peers/curve_compare notices a curve that is off, and passes one that is not."""

import contextlib
import importlib.machinery
import importlib.util
import io
import json
import math
import sys
import tempfile
import unittest
import xml.dom.minidom
from pathlib import Path

PEERS = Path(__file__).resolve().parents[2] / "bench" / "peers"
sys.path.insert(0, str(PEERS))
sys.dont_write_bytecode = True


def load_script(name):
    """A Python script whose name has no ending."""
    loader = importlib.machinery.SourceFileLoader(name, str(PEERS / name))
    module = importlib.util.module_from_spec(importlib.util.spec_from_loader(name, loader))
    loader.exec_module(module)
    return module


curve_compare = load_script("curve_compare")


def made_up_runs(loss_shift=0.0, accuracy_shift=0.0, epoch_of_shift=None):
    """Five runs of three epochs whose seeds differ a little."""
    runs = []
    for seed in range(5):
        epochs = []
        for epoch in range(1, 4):
            shift = loss_shift if epoch_of_shift in (None, epoch) else 0.0
            epochs.append({"epoch": epoch, "train_loss": 2.0 - 0.3 * epoch + 0.01 * seed + shift,
                           "test_loss": 1.5, "test_accuracy": 60.0 + 0.2 * seed + accuracy_shift})
        runs.append({"seed": seed, "epochs": epochs})
    return runs


class Judge(unittest.TestCase):
    def missed(self, **shift):
        return curve_compare.judge(made_up_runs(**shift), made_up_runs())[2]

    def test_equal_and_nearly_equal_curves_pass(self):
        self.assertEqual(self.missed(), [])
        self.assertEqual(self.missed(loss_shift=0.039, accuracy_shift=-0.99), [])

    def test_one_epoch_that_is_off_is_named(self):
        for shift in (0.041, -0.041):
            missed = self.missed(loss_shift=shift, epoch_of_shift=2)
            self.assertEqual(len(missed), 1)
            self.assertIn("epoch 2", missed[0])

    def test_accuracy_that_is_off_is_named(self):
        self.assertEqual(len(self.missed(accuracy_shift=1.01)), 1)

    def test_nan_is_no_pass(self):
        self.assertEqual(len(self.missed(loss_shift=math.nan, epoch_of_shift=1)), 1)

    def test_a_short_run_is_an_error(self):
        runs = made_up_runs()
        runs[3]["epochs"].pop()
        with self.assertRaises(ValueError):
            curve_compare.judge(runs, made_up_runs())


class Files(unittest.TestCase):
    def test_metrics_are_read_in_percent(self):
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "metrics.jsonl"
            epoch = {"epoch": 1, "train_loss": 2.0, "train_accuracy": 0.3, "test_loss": 1.9,
                     "test_accuracy": 0.25}
            path.write_text('{"step": 100, "loss": 2.1}\n' + json.dumps(epoch) + "\n")
            self.assertEqual(curve_compare.read_metrics(path),
                             [{"epoch": 1, "train_loss": 2.0, "test_loss": 1.9,
                               "test_accuracy": 25.0}])

    def test_plot_is_well_formed(self):
        peer = {"what": "LeNet <fixture>", "data": "made up", "peer": "none",
                "runs": made_up_runs()}
        picture = xml.dom.minidom.parseString(curve_compare.curve_plot.svg(made_up_runs(), peer))
        self.assertEqual(len(picture.getElementsByTagName("polyline")), 2 * 2 * (5 + 1))

    def test_the_stored_curve_agrees_with_itself(self):
        peer = json.loads(curve_compare.STORED.read_text())
        rows, accuracy, missed = curve_compare.judge(peer["runs"], peer["runs"])
        self.assertEqual((missed, accuracy["difference"]), ([], 0.0))
        self.assertEqual(len(rows), peer["epochs"])
        with contextlib.redirect_stdout(io.StringIO()) as text:
            curve_compare.print_table(rows, accuracy, missed, peer)
        self.assertIn("epoch 10", text.getvalue())


if __name__ == "__main__":
    unittest.main()
