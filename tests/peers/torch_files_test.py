"""PyTorch's files against PyTorch: kiln serves what torch.save wrote, torch.load reads what kiln
wrote, and the class scores of 1,000 pictures are the same to 1e-5, for LeNet and ResNet-18.

    torch_files_test.py BIN      BIN: the folder of kiln, kiln-train, kiln-sagemaker-train,
                                 kiln-convert and kiln-serve

Runs by bench/peers/peer-python; that exits with 77, CTest's "skipped", where PyTorch is missing.
"""

import contextlib
import io
import os
import re
import socket
import subprocess
import sys
import tempfile
import time
import unittest
import urllib.error
import urllib.request
from pathlib import Path

import numpy
import torch
from torch import nn

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "bench/peers"))
from peer_common import Net as LeNet, ResNet18  # noqa: E402

BIN = Path(sys.argv.pop(1)).resolve()
PICTURES, BATCH, TOLERANCE = 1000, 100, 1e-5


NETWORKS = {"lenet": LeNet, "resnet18": ResNet18}


def pictures():
    """Normalised as the workshop does: [-1, 1], float32 [N,3,32,32]."""
    pixels = torch.randint(0, 256, (PICTURES, 3, 32, 32), generator=torch.Generator().manual_seed(3))
    return (pixels.float() / 255 - 0.5) / 0.5


def scores(network, inputs):
    with torch.no_grad():
        return torch.cat([network(part) for part in inputs.split(BATCH)]).numpy()


def settled(network):
    """With running statistics that are those of pictures, not 0 and 1."""
    network.train()
    with torch.no_grad():
        network(pictures()[:BATCH])
    return network.eval()


@contextlib.contextmanager
def served(folder):
    """The port of kiln-serve with this model."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    environment = {k: v for k, v in os.environ.items() if not k.startswith("KILN_")}
    with subprocess.Popen([BIN / "kiln-serve", folder, "--address", "127.0.0.1", "--port",
                           str(port), "--log-level", "quiet"], env=environment) as server:
        try:
            wait_for(port, server)
            yield port
        finally:
            server.terminate()


def wait_for(port, server):
    for _ in range(600):
        with contextlib.suppress(urllib.error.URLError, ConnectionError):
            if urllib.request.urlopen(f"http://127.0.0.1:{port}/ping", timeout=5).status == 200:
                return
        if server.poll() is not None:
            break
        time.sleep(0.05)
    raise AssertionError("kiln-serve is not ready")


def served_scores(folder, inputs):
    """What kiln-serve answers to float32 [N,3,32,32] in npy, batch by batch."""
    replies = []
    with served(folder) as port:
        for part in inputs.split(BATCH):
            body = io.BytesIO()
            numpy.save(body, part.numpy())
            request = urllib.request.Request(
                f"http://127.0.0.1:{port}/invocations", data=body.getvalue(),
                headers={"Content-Type": "application/x-npy", "Accept": "application/x-npy"})
            replies.append(numpy.load(io.BytesIO(urllib.request.urlopen(request).read())))
    return numpy.concatenate(replies)


def run(*words):
    subprocess.run([str(word) for word in words], check=True, stdout=subprocess.DEVNULL)


def training_pictures(folder):
    """Inputs and labels of a folder in CIFAR-10's binary layout."""
    rows = numpy.concatenate([numpy.fromfile(file, numpy.uint8).reshape(-1, 3073)
                              for file in sorted(folder.glob("data_batch_*.bin"))])
    pixels = torch.from_numpy(rows[:, 1:].reshape(-1, 3, 32, 32).copy())
    return (pixels.float() / 255 - 0.5) / 0.5, torch.from_numpy(rows[:, 0].astype(numpy.int64))


class TorchFiles(unittest.TestCase):
    def setUp(self):
        self.folder = Path(self.enterContext(tempfile.TemporaryDirectory()))
        torch.manual_seed(1)

    def assert_same(self, ours, theirs):
        self.assertEqual(ours.shape, (PICTURES, 10))
        self.assertGreater(numpy.abs(theirs).max(), 0.01)
        difference = numpy.abs(ours - theirs).max()
        print(f"{self.id().split('.')[-1]}: largest difference {difference:.2g}")
        self.assertLessEqual(difference, TOLERANCE)

    def test_what_torch_saved_is_served(self):
        inputs = pictures()
        for name, network in NETWORKS.items():
            for prefix in ("module.", ""):
                with self.subTest(network=name, prefix=prefix):
                    folder = self.folder / f"{name}-{prefix}"
                    folder.mkdir()
                    model = settled(network())
                    state = {prefix + key: value for key, value in model.state_dict().items()}
                    torch.save(state, folder / "model.pth")
                    # What lies beside a model that was unpacked.
                    (folder / "code").mkdir()
                    (folder / "model.tar.gz").write_bytes(b"not looked at")
                    self.assert_same(served_scores(folder, inputs), scores(model, inputs))

    def test_what_kiln_wrote_is_loaded(self):
        run(BIN / "kiln", "data", "synth", self.folder / "data", "--train-count", 500,
            "--test-count", 100, "--quiet")
        inputs = pictures()
        for name, network in NETWORKS.items():
            for prefix in ("module.", ""):
                with self.subTest(network=name, prefix=prefix):
                    self.check_loaded(name, network(), prefix, inputs)

    def check_loaded(self, name, model, prefix, inputs):
        folder, file = self.folder / name, self.folder / f"{name}{prefix}pth"
        if not folder.exists():
            run(BIN / "kiln-train", "--model", name, "--data", self.folder / "data", "--epochs", 1,
                "--model-dir", folder, "--log-level", "quiet", "--no-report")
        run(BIN / "kiln", "convert", folder, file, *(["--module-prefix"] if prefix else []))
        state = torch.load(file, weights_only=True)
        self.assertTrue(all(key.startswith(prefix) for key in state))
        model.load_state_dict({key.removeprefix(prefix): value for key, value in state.items()})
        self.assert_same(served_scores(folder, inputs), scores(model.eval(), inputs))

    def test_a_checkpoint_goes_on_in_torch(self):
        run(BIN / "kiln", "data", "synth", self.folder / "data", "--train-count", 500,
            "--test-count", 100, "--quiet")
        run(BIN / "kiln-train", "--data", self.folder / "data", "--epochs", 1, "--lr", 0.01,
            "--model-dir", self.folder / "m", "--log-level", "quiet", "--no-report")
        file = self.folder / "checkpoint.pth"
        run(BIN / "kiln", "convert", self.folder / "m/checkpoint.safetensors", file)
        checkpoint = torch.load(file, weights_only=True)
        self.assertEqual(set(checkpoint), {"epoch", "model_state_dict", "optimizer_state_dict",
                                           "loss"})
        self.assertEqual(checkpoint["epoch"], 1)
        self.assertTrue(torch.isfinite(torch.as_tensor(checkpoint["loss"])))
        model = LeNet()
        model.load_state_dict(checkpoint["model_state_dict"])
        optimizer = torch.optim.SGD(model.parameters(), lr=1.0)
        optimizer.load_state_dict(checkpoint["optimizer_state_dict"])
        self.assertEqual(optimizer.param_groups[0]["lr"], 0.01)
        self.assertEqual(optimizer.param_groups[0]["momentum"], 0.9)
        nn.functional.cross_entropy(model(pictures()[:4]), torch.tensor([0, 1, 2, 3])).backward()
        optimizer.step()

    def spot_job(self, epochs):
        """Runs or resumes a job of train_spot.py; what its last epoch told of the loss."""
        environment = dict(os.environ, SAGEMAKER_BASE_DIR=str(self.folder / "job"))
        told = subprocess.run([BIN / "kiln-sagemaker-train", "--epochs", str(epochs)], check=True,
                              capture_output=True, text=True, env=environment).stdout
        return float(re.findall(r"^epoch: \d+ - loss: (.*)$", told, re.MULTILINE)[-1])

    def test_a_jobs_checkpoint_goes_on_in_torch(self):
        # Every step takes all pictures, so their order is none.
        data = self.folder / "job/input/data/training"
        data.parent.mkdir(parents=True)
        run(BIN / "kiln", "data", "synth", data, "--train-count", 64, "--test-count", 16, "--quiet")
        settings = self.folder / "job/input/config/hyperparameters.json"
        settings.parent.mkdir()
        settings.write_text('{"sagemaker_program": "train_spot.py", "batch-size": "64", '
                            '"lr": "0.1", "momentum": "0.9"}')
        loss = self.spot_job(3)
        checkpoint = torch.load(self.folder / "job/checkpoints/checkpoint.pth", weights_only=True)
        self.assertEqual(set(checkpoint), {"epoch", "model_state_dict", "optimizer_state_dict",
                                           "loss"})
        self.assertEqual(checkpoint["epoch"], 3)
        self.assertAlmostEqual(float(checkpoint["loss"]), loss, places=5)
        model = nn.DataParallel(LeNet())  # names with "module." in front
        model.load_state_dict(checkpoint["model_state_dict"])
        saved = torch.load(self.folder / "job/model/model.pth", weights_only=True)
        for name, value in model.state_dict().items():
            self.assertTrue(torch.equal(value, saved[name]), name)
        optimizer = torch.optim.SGD(model.parameters(), lr=1.0, momentum=0.5)
        optimizer.load_state_dict(checkpoint["optimizer_state_dict"])
        self.assertEqual(optimizer.param_groups[0]["lr"], 0.1)
        self.assertEqual(optimizer.param_groups[0]["momentum"], 0.9)
        self.assertEqual(len(optimizer.state), 10)
        # One more epoch, by both.
        inputs, labels = training_pictures(data)
        nn.functional.cross_entropy(model(inputs), labels).backward()
        before = {name: value.clone() for name, value in model.state_dict().items()}
        optimizer.step()
        self.spot_job(4)
        saved = torch.load(self.folder / "job/model/model.pth", weights_only=True)
        for name, value in model.state_dict().items():
            self.assertGreater((value - before[name]).abs().max(), 1e-4, name)
            torch.testing.assert_close(saved[name], value, rtol=1e-4, atol=1e-6, msg=name)


if __name__ == "__main__":
    unittest.main()
