"""tools/local-mode: what a host finds, what comes back, exit codes, hosts with addresses, serving.

    local_mode_test.py BIN      BIN: the folder of kiln-serve
"""
import json
import os
import pathlib
import re
import shutil
import signal
import socket
import subprocess
import sys
import tarfile
import tempfile
import time
import unittest

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests/link"))
from scratch_test import write_model  # noqa: E402

TOOL = ROOT / "tools/local-mode"
BIN = pathlib.Path(sys.argv.pop(1)).resolve()

# A training program that tells what it finds.
TRAIN = r"""#!/usr/bin/env python3
import json, os, pathlib, socket, sys, time
base = pathlib.Path(os.environ["SAGEMAKER_BASE_DIR"])
config = {p.stem: json.loads(p.read_text()) for p in (base / "input/config").glob("*.json")}
host = config["resourceconfig"]["current_host"]
seen = {"config": config, "words": sys.argv[1:], "tty": sys.stdout.isatty(), "host": host,
        "files": sorted(str(p.relative_to(base / "input/data"))
                        for c in (base / "input/data").iterdir() for p in c.iterdir()),
        "variables": {n: os.environ.get(n) for n in ("TRAINING_JOB_NAME", "AWS_REGION", "MORE")}}
(base / "model" / f"{host}.txt").write_text("weights of " + host)
(base / "output/data" / f"{host}.json").write_text(json.dumps(seen))
(base / "output/data/same").write_text("same")
print("hello from", host, flush=True)
exec(os.environ.get("THEN", ""))
"""


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class LocalMode(unittest.TestCase):
    def setUp(self):
        self.folder = pathlib.Path(self.enterContext(tempfile.TemporaryDirectory()))
        (self.folder / "data").mkdir()
        (self.folder / "data/pictures.bin").write_bytes(b"x")
        self.program = self.folder / "train"
        self.program.write_text(TRAIN)
        self.program.chmod(0o755)

    def run_tool(self, *words, **variables):
        return subprocess.run([sys.executable, "-B", TOOL, *map(str, words)], capture_output=True,
                              text=True, cwd=self.folder, timeout=100, check=False,
                              env={**os.environ, **variables})

    def train(self, *words, **variables):
        return self.run_tool("train", "--program", self.program, "--data", self.folder / "data",
                             *words, **variables)

    def seen(self):
        files = (self.folder / "local-mode-out/output/data").glob("*.json")
        return [json.loads(path.read_text()) for path in sorted(files)]

    def names_in(self, archive):
        with tarfile.open(self.folder / "local-mode-out" / archive) as tar:
            return sorted(tar.getnames())


class Train(LocalMode):
    def test_a_job_of_one_host(self):
        run = self.train("--hyperparameters", "lr=0.1", "backend=gloo", "flag=true",
                         "--environment", "MORE=1", "--", "--epochs", "2")
        self.assertEqual(run.returncode, 0, run.stderr)
        self.assertTrue(run.stdout.endswith("===== Job Complete =====\n"), run.stdout)
        seen, = self.seen()
        host = seen["host"]
        self.assertRegex(host, r"^algo-1-[a-z0-9]{5}$")
        self.assertEqual(seen["config"], {
            "hyperparameters": {"lr": "0.1", "backend": '"gloo"', "flag": "true"},
            "resourceconfig": {"current_host": host, "hosts": [host],
                               "network_interface_name": "eth0", "current_instance_type": "local"},
            "inputdataconfig": {"training": {"TrainingInputMode": "File"}}})
        self.assertEqual(seen["files"], ["training/pictures.bin"])
        self.assertEqual(seen["words"], ["--epochs", "2"])
        self.assertTrue(seen["tty"])
        self.assertEqual(seen["variables"], {"TRAINING_JOB_NAME": "local-mode", "MORE": "1",
                                             "AWS_REGION": "us-east-1"})
        self.assertIn(f"hello from {host}\n", run.stdout)
        self.assertEqual(self.names_in("model.tar.gz"), [f"{host}.txt"])
        self.assertEqual(self.names_in("output.tar.gz"),
                         ["data", f"data/{host}.json", "data/same"])

    def test_the_instance_type_is_written_into_the_job(self):
        run = self.train("--instance-type", "local_gpu")
        self.assertEqual(run.returncode, 0, run.stderr)
        seen, = self.seen()
        self.assertEqual(seen["config"]["resourceconfig"]["current_instance_type"], "local_gpu")

    def test_configuration_as_version_3_writes_it(self):
        run = self.train("--sdk", "3", "--hyperparameters", "backend=gloo", "--no-tty", "--channel",
                         f"testing={self.folder / 'data'}")
        self.assertEqual(run.returncode, 0, run.stderr)
        seen, = self.seen()
        self.assertEqual(seen["config"]["hyperparameters"], {"backend": "gloo"})
        self.assertEqual(seen["config"]["resourceconfig"]["network_interface_name"], "ethwe")
        self.assertEqual(seen["host"], "algo-1")
        self.assertEqual(sorted(seen["config"]["inputdataconfig"]), ["testing", "training"])
        self.assertFalse(seen["tty"])

    def test_raw_values_of_version_2(self):
        self.assertEqual(self.train("--raw", "--hyperparameters", "backend=gloo").returncode, 0)
        self.assertEqual(self.seen()[0]["config"]["hyperparameters"], {"backend": "gloo"})

    def test_a_failure_is_told_and_artifacts_come_all_the_same(self):
        run = self.train(THEN="(base / 'output/failure').write_text('no data\\nmore'); sys.exit(3)")
        self.assertEqual(run.returncode, 3)
        self.assertRegex(run.stderr, r"algo-1-\w+ failed: no data\n")
        self.assertNotIn("Job Complete", run.stdout)
        self.assertEqual(len(self.names_in("model.tar.gz")), 1)

    def test_130_passes_and_a_signal_does_not(self):
        self.assertEqual(self.train(THEN="sys.exit(130)").returncode, 0)
        self.assertEqual(self.train(THEN="os.kill(os.getpid(), 9)").returncode, 137)

    def test_what_cannot_be_done_is_one_line(self):
        for words, text in ((["--channel", "x=nowhere"], "channel x: nowhere is no folder"),
                            (["--hyperparameters", "lr"], "'lr' is not NAME=VALUE")):
            run = self.train(*words)
            self.assertEqual(run.returncode, 1)
            self.assertIn(f"local-mode: {'--hyperparameters: ' if 'lr' in words else ''}{text}",
                          run.stderr)
            self.assertEqual(run.stderr.count("\n"), 1, run.stderr)


def namespaces():
    words = ["unshare", "--net", "--pid", "--mount-proc", "--fork", "ip", "link", "add", "kiln0",
             "type", "bridge"]
    return shutil.which("ip") is not None and os.geteuid() == 0 and subprocess.run(
        words, capture_output=True, check=False).returncode == 0


class SeveralHosts(LocalMode):
    def require_namespaces(self):
        if not namespaces():
            self.skipTest("network namespaces need root and iproute2")

    def test_without_root_it_is_one_line(self):
        if os.geteuid() == 0:
            words = ["setpriv", "--reuid=65534", "--clear-groups"]
            if subprocess.run([*words, "true"], capture_output=True, check=False).returncode != 0:
                self.skipTest("no other user can be taken here")
        else:
            words = []
        run = subprocess.run([*words, "/usr/bin/env", "python3", "-B", TOOL, "train", "--hosts",
                              "2"], capture_output=True, text=True, check=False, cwd="/")
        self.assertEqual(run.returncode, 1, run.stderr)
        self.assertIn("takes root", run.stderr)

    def test_hosts_have_an_address_each_and_share_the_model(self):
        self.require_namespaces()
        # Each serves on one port at its own address and asks the other by name.
        talk = """
import threading
own = socket.create_server(("0.0.0.0", 7777))
def answer():
    for _ in range(2):
        own.accept()[0].sendall(host.encode())
threading.Thread(target=answer, daemon=True).start()
told = []
for other in config["resourceconfig"]["hosts"]:
    for _ in range(100):
        try:
            told.append(socket.create_connection((other, 7777), 1).recv(99).decode()); break
        except OSError:
            time.sleep(0.05)
seen["told"], seen["name"] = told, socket.gethostname()
(base / "output/data" / f"{host}.json").write_text(json.dumps(seen))
time.sleep(0.5)
"""
        run = self.train("--hosts", "2", THEN=talk)
        self.assertEqual(run.returncode, 0, run.stderr)
        one, two = self.seen()
        hosts = [one["host"], two["host"]]
        for seen in (one, two):
            self.assertEqual(seen["config"]["resourceconfig"]["hosts"], hosts)
            self.assertEqual(seen["told"], hosts)
            self.assertEqual(seen["name"], seen["host"])
        self.assertEqual(self.names_in("model.tar.gz"), [f"{host}.txt" for host in hosts])
        for host in hosts:
            self.assertIn(f"{host} | hello from {host}\n", run.stdout)

    def test_the_first_end_ends_all(self):
        self.require_namespaces()
        begun = time.monotonic()
        run = self.train("--hosts", "2",
                         THEN="time.sleep(60) if host.startswith('algo-2') else sys.exit(4)")
        self.assertEqual(run.returncode, 4, run.stderr)
        self.assertLess(time.monotonic() - begun, 30)


class Serve(LocalMode):
    def setUp(self):
        super().setUp()
        write_model(self.folder / "model")

    def serve(self, *words):
        return self.run_tool("serve", "--program", BIN / "kiln-serve", "--port", str(free_port()),
                             *words)

    def test_a_folder_and_an_archive(self):
        archive = self.folder / "model.tar.gz"
        with tarfile.open(archive, "w:gz") as tar:
            for name in ("model.json", "model.safetensors"):
                tar.add(self.folder / "model" / name, name)
        for model in (self.folder / "model", archive):
            run = self.serve(model, "--once")
            self.assertEqual(run.returncode, 0, run.stderr)
            self.assertRegex(run.stdout, r"/ping says 200 after 0\.\d+ s\n")
            self.assertRegex(run.stdout, r"/invocations says 200 after 0\.\d+ s: \[\[0\.0, ")

    def test_a_body_of_ones_own(self):
        (self.folder / "body").write_text("1," * 15 + "1")
        run = self.serve(self.folder / "model", "--body", self.folder / "body", "--content-type",
                         "text/csv", "--accept", "text/csv", "--once")
        self.assertEqual(run.returncode, 0, run.stderr)
        run = self.serve(self.folder / "model", "--body", self.folder / "body", "--once")
        self.assertEqual(run.returncode, 1)
        self.assertIn("/invocations says 200" if "[[" in run.stdout else "/invocations says 400",
                      run.stderr)

    def test_it_ends_by_ctrl_c(self):
        with subprocess.Popen([sys.executable, "-B", TOOL, "serve", self.folder / "model",
                               "--program", BIN / "kiln-serve", "--port", str(free_port())],
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as tool:
            for line in tool.stdout:
                if re.match(r"  curl ", line):
                    break
            tool.send_signal(signal.SIGINT)
            out, err = tool.communicate(timeout=60)
            self.assertEqual(tool.returncode, 0, out + err)

    def test_an_archive_that_would_write_elsewhere_is_refused(self):
        archive = self.folder / "bad.tar.gz"
        with tarfile.open(archive, "w:gz") as tar:
            tar.add(self.folder / "model/model.json", "../evil.json")
        run = self.serve(archive, "--once")
        self.assertEqual(run.returncode, 1)
        self.assertIn("'../evil.json' is no plain file", run.stderr)

    def test_what_cannot_be_served_is_told(self):
        self.assertIn("no such file", self.serve(self.folder / "none").stderr)
        (self.folder / "empty").mkdir()
        run = self.serve(self.folder / "empty", "--once")
        self.assertEqual(run.returncode, 1)
        self.assertIn("the server ended with 1", run.stderr)


class Help(LocalMode):
    def test_it_teaches(self):
        for words in (["--help"], ["train", "--help"], ["serve", "--help"]):
            run = self.run_tool(*words)
            self.assertEqual(run.returncode, 0)
            self.assertIn("tools/local-mode serve", run.stdout)
        self.assertEqual(self.run_tool("nothing").returncode, 2)
        self.assertEqual(self.run_tool("serve", "m", "--", "x").returncode, 2)


if __name__ == "__main__":
    unittest.main()
