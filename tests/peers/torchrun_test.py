"""Ranks that PyTorch's torchrun starts: they meet, whoever holds MASTER_PORT, and train to the bit
what ranks as threads train; one that is killed ends all of them.

    torchrun_test.py BIN      BIN: the folder of kiln, kiln-data and kiln-train

Runs by bench/peers/peer-python; that exits with 77, CTest's "skipped", where PyTorch is missing.
"""

import os
import socket
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path

import torch  # noqa: F401  torchrun is its module

BIN = Path(sys.argv.pop(1)).resolve()
TRAIN = [BIN / "kiln", "train", "--threads", "1", "--batch-size", "24", "--global-batch", "--epochs", "2",
         "--no-report"]


def free_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def torchrun(*words):
    return [sys.executable, "-m", "torch.distributed.run", *words, "--no-python"]


class Torchrun(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.temporary = tempfile.TemporaryDirectory()
        cls.folder = Path(cls.temporary.name)
        cls.data = cls.folder / "data"
        subprocess.run([BIN / "kiln-data", "synth", cls.data, "--train-count", "480", "--test-count", "48",
                        "--quiet"], check=True)

    @classmethod
    def tearDownClass(cls):
        cls.temporary.cleanup()

    def train(self, name, *more):
        return [*map(str, TRAIN), "--data", str(self.data), "--model-dir", str(self.folder / name), *more]

    def expect_the_bits_of_threads(self, name, ranks):
        threads = f"threads{ranks}"
        subprocess.run(self.train(threads, "--ranks", str(ranks), "--comm", "threads"), check=True,
                       capture_output=True)
        model = "model.safetensors"
        self.assertEqual((self.folder / name / model).read_bytes(), (self.folder / threads / model).read_bytes())

    def run_all(self, *commands):
        started = [subprocess.Popen(c, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
                   for c in commands]
        texts = [process.communicate(timeout=240)[0] for process in started]
        for process, text in zip(started, texts):
            self.assertEqual(process.returncode, 0, text)
        return "".join(texts)

    def test_standalone(self):
        text = self.run_all(torchrun("--standalone", "--nproc-per-node", "3") + self.train("standalone"))
        self.assertIn("ranks: 3 ranks, TCP", text)
        self.expect_the_bits_of_threads("standalone", 3)

    def test_a_port_of_the_agent(self):
        words = ["--rdzv-backend", "static", "--master-addr", "127.0.0.1", "--master-port", str(free_port())]
        self.run_all(torchrun("--nproc-per-node", "2", *words) + self.train("static"))
        self.expect_the_bits_of_threads("static", 2)

    def test_two_agents(self):
        words = ["--nnodes", "2", "--nproc-per-node", "1", "--rdzv-backend", "c10d", "--rdzv-id", "kiln",
                 "--rdzv-endpoint", f"localhost:{free_port()}"]
        agent = torchrun(*words, "--local-addr", "127.0.0.1") + self.train("agents")
        self.run_all(agent, agent)
        self.expect_the_bits_of_threads("agents", 2)

    def dying(self, name, *words):
        """Two ranks of which one dies, the first time that it is started."""
        kill = self.folder / "kill"
        first = '[ "$RANK $TORCHELASTIC_RESTART_COUNT" = "1 0" ]'
        kill.write_text(f'#!/bin/sh\n{first} && kill -9 $$\nexec "$@"\n', encoding="utf-8")
        kill.chmod(0o755)
        return torchrun("--standalone", "--nproc-per-node", "2", *words) + [str(kill)] + self.train(
            name, "--resume-if-present")

    def test_ranks_that_are_started_again(self):
        self.run_all(self.dying("again", "--max-restarts", "1"))
        self.expect_the_bits_of_threads("again", 2)

    def test_a_rank_that_dies(self):
        command = self.dying("dies")
        done = subprocess.run(command, capture_output=True, text=True, timeout=240)
        self.assertNotEqual(done.returncode, 0)
        self.assertFalse((self.folder / "dies" / "model.json").exists())


if __name__ == "__main__":
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    unittest.main()
