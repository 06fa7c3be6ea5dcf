"""Training jobs of several hosts: real processes, each host a process 1 with an address, a name,
folders and an sshd of its own in namespaces of the kernel.

    sagemaker_hosts_test.py BIN      BIN: the folder of the programs
"""
import contextlib
import json
import os
import pathlib
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import unittest

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tools"))
import namespaces  # noqa: E402

BIN = pathlib.Path(sys.argv[1]).resolve()
INSIDE = "KILN_HOSTS_TEST_INSIDE"
SECONDS = 100  # for what must happen, however slow the machine
SETTINGS = {"batch-size": "20", "threads": "1", "epochs": "2",
            "sagemaker_container_log_level": "30"}
# A run that ends only when it is ended; a checkpoint tells that it is under way.
ENDLESS = {**SETTINGS, "epochs": "100000", "checkpoint-interval": "5"}
# Open MPI ends with memory that it still holds.
SANITIZER = "detect_leaks=0"


def why_not():
    absent = namespaces.absent_for_training()
    if absent:
        return f"{', '.join(absent)} is missing; apt-get install openssh-server openmpi-bin"
    if not list(BIN.glob("../lib/libkiln_mpi.so")) and not list(BIN.glob("libkiln_mpi.so")):
        return "this build has no libkiln_mpi.so"
    return namespaces.missing()


class Host:
    """One host of a job: its folders, and its process 1 while it runs."""

    def __init__(self, cluster, name, number):
        self.cluster, self.name, self.number = cluster, name, number
        self.base = cluster.folder / name
        self.log = cluster.folder / f"{name}.log"
        self.process = None

    def write_job(self, hyperparameters, channel):
        config = self.base / "input/config"
        (self.base / "input/data").mkdir(parents=True)
        config.mkdir()
        (self.base / "input/data/training").symlink_to(DATA)
        files = {"hyperparameters": hyperparameters,
                 "resourceconfig": {"current_host": self.name, "hosts": self.cluster.names,
                                    "network_interface_name": self.cluster.interface},
                 "inputdataconfig": {"training": {"TrainingInputMode": "File", **channel}}}
        for name, value in files.items():
            (config / f"{name}.json").write_text(json.dumps(value))

    def start(self, machine_name=None, **variables):
        words = namespaces.command(
            [BIN / "kiln-sagemaker-train", "train"], machine_name or self.name,
            self.cluster.hosts_file, [(self.base, self.cluster.mounted)])
        # What the container of a platform would not have either.
        environment = {name: value for name, value in os.environ.items()
                       if not name.startswith(("KILN_", "SAGEMAKER_", "OMPI_"))}
        environment.update({
            "SAGEMAKER_BASE_DIR": str(self.cluster.mounted), "KILN_SSH_DIR": str(KEY),
            "KILN_HOST_TIMEOUT": str(SECONDS), "ASAN_OPTIONS": SANITIZER, **variables})
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(words, stdin=subprocess.PIPE, stdout=log, stderr=log,
                                            env=environment)
        namespaces.connect(self.process, self.number)

    def wait(self):
        return self.process.wait(SECONDS)

    def signal(self, number):
        namespaces.send_signal(self.process, number)

    def text(self):
        return self.log.read_text(errors="replace") if self.log.exists() else ""

    def failure(self):
        path = self.base / "output/failure"
        return path.read_text() if path.exists() else ""

    def files(self, folder):
        return sorted(str(path.relative_to(self.base / folder))
                      for path in (self.base / folder).rglob("*") if path.is_file())


class Cluster:
    next_number = 0

    def __init__(self, folder, hyperparameters, names=("algo-1", "algo-2"), interface="eth0",
                 channel=None, known=None):
        self.folder, self.names, self.interface = folder, list(names), interface
        self.hosts_file, self.mounted = folder / "hosts", folder / "ml"
        self.mounted.mkdir(parents=True)
        first = Cluster.next_number
        Cluster.next_number += len(names)
        self.hosts = [Host(self, name, first + i) for i, name in enumerate(names)]
        namespaces.write_hosts_file(self.hosts_file, known or names, first)
        for host in self.hosts:
            host.write_job(hyperparameters, channel or {})

    def start(self, **how):
        for host in self.hosts:
            host.start(**how)

    def end(self):
        for host in self.hosts:
            if host.process is not None and host.process.poll() is None:
                host.signal(signal.SIGKILL)
                host.process.wait(SECONDS)

    def until(self, holds):
        """Waits for something that becomes true while all hosts run."""
        end = time.monotonic() + SECONDS
        while not holds():
            for host in self.hosts:
                if host.process is not None and host.process.poll() is not None:
                    raise AssertionError(f"{host.name} ended\n{host.text()}")
            if time.monotonic() > end:
                raise AssertionError("it never came\n" + "\n".join(h.text() for h in self.hosts))
            time.sleep(0.01)

    def until_it_trains(self):
        self.until((self.hosts[0].base / "checkpoints/checkpoint.safetensors").exists)

    def process_of(self, rank):
        """The process of a rank, wherever it runs."""
        wanted = {f"OMPI_COMM_WORLD_RANK={rank}", f"SAGEMAKER_BASE_DIR={self.mounted}"}
        for path in pathlib.Path("/proc").glob("[0-9]*/environ"):
            with contextlib.suppress(OSError):
                if wanted <= set(path.read_text(errors="replace").split("\0")):
                    return int(path.parent.name)
        return None


class Hosts(unittest.TestCase):
    def setUp(self):
        self.folder = pathlib.Path(self.enterContext(tempfile.TemporaryDirectory()))

    def cluster(self, hyperparameters, **how):
        cluster = Cluster(self.folder / f"cluster-{Cluster.next_number}", hyperparameters, **how)
        self.addCleanup(cluster.end)
        return cluster

    def expect(self, host, code):
        self.assertEqual(host.wait(), code, f"{host.name}:\n{host.text()}")

    def expect_failure(self, host, *parts):
        self.expect(host, 1)
        for part in parts:
            self.assertIn(part, host.failure(), host.text())
        self.assertFalse((host.base / "output/success").exists())

    def weights_of_one_machine(self, ranks):
        model = self.folder / f"model-{ranks}"
        words = [BIN / "kiln-train", "--data", DATA, "--model-dir", model, "--epochs", "2",
                 "--batch-size", "20", "--threads", "1", "--ranks", str(ranks), "--comm", "mpi",
                 "--no-report"]
        run = subprocess.run([str(word) for word in words], capture_output=True, text=True,
                             check=False, env={**os.environ, "ASAN_OPTIONS": SANITIZER})
        self.assertEqual(run.returncode, 0, run.stderr)
        return (model / "model.safetensors").read_bytes()

    def test_two_hosts_train_what_two_ranks_of_one_machine_train(self):
        cluster = self.cluster(SETTINGS)
        cluster.start()
        for host in cluster.hosts:
            self.expect(host, 0)
            self.assertTrue((host.base / "output/success").exists())
        leader, worker = cluster.hosts
        self.assertEqual((leader.base / "model/model.safetensors").read_bytes(),
                         self.weights_of_one_machine(2))
        self.assertIn("ranks: 2 ranks, Open MPI", leader.text())
        # All hosts' files meet in one archive: no names of a worker's are in the way.
        for folder in ("model", "output/data", "checkpoints"):
            self.assertNotEqual(leader.files(folder), [])
            self.assertEqual(worker.files(folder), [])
        for host in cluster.hosts:
            self.assertEqual(host.text().count("Invoking script"), 1)
            self.assertEqual(host.text().count("Reporting training SUCCESS"), 1)

    def test_processes_of_hosts_with_one_name_and_a_made_up_interface(self):
        """Both call themselves aws, as SageMaker's hosts did; local mode's version 3 says ethwe."""
        cluster = self.cluster({**SETTINGS, "sagemaker_mpi_num_of_processes_per_host": "2"},
                               interface="ethwe")
        cluster.start(machine_name="aws")
        for host in cluster.hosts:
            self.expect(host, 0)
        leader = cluster.hosts[0]
        self.assertIn("network interface ethwe does not exist here; eth0 leads to algo-2",
                      leader.text())
        self.assertEqual((leader.base / "model/model.safetensors").read_bytes(),
                         self.weights_of_one_machine(4))

    def test_hosts_that_do_not_come_are_named(self):
        for known, wrong in ((None, "host algo-2: did not come within 2 s"),
                             (["algo-1"], "host algo-2 (its name does not resolve): did not come")):
            cluster = self.cluster(SETTINGS, known=known)
            cluster.hosts[0].start(KILN_HOST_TIMEOUT="2")
            self.expect_failure(cluster.hosts[0], wrong)
        cluster = self.cluster(SETTINGS)
        cluster.hosts[1].start(KILN_HOST_TIMEOUT="2")
        self.expect_failure(cluster.hosts[1],
                            "host algo-1: leads this job and did not come within 2 s: port 7777")

    def test_a_missing_third_host_ends_the_second(self):
        cluster = self.cluster(SETTINGS, names=("algo-1", "algo-2", "algo-3"))
        for host in cluster.hosts[:2]:
            host.start(KILN_HOST_TIMEOUT="4")
        for host in cluster.hosts[:2]:
            self.expect_failure(host, "host algo-3: did not come within 4 s")

    def test_a_host_with_another_key_is_not_let_in(self):
        other = self.folder / "other-key"
        namespaces.make_key(other)
        cluster = self.cluster(SETTINGS)
        cluster.hosts[0].start(KILN_HOST_TIMEOUT="5")
        cluster.hosts[1].start(KILN_SSH_DIR=str(other))
        self.expect_failure(cluster.hosts[1],
                            "host algo-1: refuses this host: its key is another one")
        self.expect_failure(cluster.hosts[0], "host algo-2: did not come within 5 s")

    def test_a_host_without_a_key_says_so(self):
        cluster = self.cluster(SETTINGS)
        cluster.hosts[1].start(KILN_SSH_DIR="/nowhere")
        self.expect_failure(cluster.hosts[1], "/nowhere/id_ed25519: cannot be read")

    def test_a_killed_worker_is_named(self):
        cluster = self.cluster(ENDLESS)
        cluster.start()
        cluster.until_it_trains()
        cluster.hosts[1].signal(signal.SIGKILL)
        self.expect_failure(cluster.hosts[0], "host algo-2", "has died")

    def test_a_killed_leader_is_named(self):
        cluster = self.cluster(ENDLESS)
        cluster.start()
        cluster.until_it_trains()
        cluster.hosts[0].signal(signal.SIGKILL)
        self.expect_failure(cluster.hosts[1], "host algo-1", "has died")

    def test_a_killed_rank_is_named_with_its_host_on_both(self):
        cluster = self.cluster(ENDLESS)
        cluster.start()
        cluster.until_it_trains()
        os.kill(cluster.process_of(1), signal.SIGKILL)
        for host in cluster.hosts:
            self.expect_failure(host, "rank 1 (host algo-2): has died")

    def test_sigterm_on_any_host_stops_all_with_everything_saved(self):
        for asked in ([0], [1], [0, 1]):
            cluster = self.cluster(ENDLESS)
            cluster.start()
            cluster.until_it_trains()
            for number in asked:
                cluster.hosts[number].signal(signal.SIGTERM)
            for host in cluster.hosts:
                self.expect(host, 0)
                self.assertTrue((host.base / "output/success").exists())
            leader = cluster.hosts[0]
            self.assertIn("stopped after step", leader.text())
            self.assertTrue((leader.base / "model/model.json").exists())

    def test_a_stopped_job_goes_on_on_other_hosts(self):
        stopped = self.cluster(ENDLESS)
        stopped.start()
        stopped.until_it_trains()
        stopped.hosts[1].signal(signal.SIGTERM)
        for host in stopped.hosts:
            self.expect(host, 0)
        # The platform restores the same checkpoints on every host.
        epochs = len((stopped.hosts[0].base / "output/data/metrics.jsonl").read_text().splitlines())
        cluster = self.cluster({**SETTINGS, "epochs": str(epochs + 1)})
        for host in cluster.hosts:
            shutil.copytree(stopped.hosts[0].base / "checkpoints", host.base / "checkpoints")
        cluster.start()
        for host in cluster.hosts:
            self.expect(host, 0)
        self.assertIn("steps done", cluster.hosts[0].text())
        self.assertEqual(cluster.hosts[1].files("output/data"), [])

    def test_sigterm_before_the_hosts_have_met(self):
        for number, waits in ((0, "waiting for the others"), (1, "waits for its ranks")):
            cluster = self.cluster(SETTINGS)
            host = cluster.hosts[number]
            host.start()
            cluster.until(lambda host=host, waits=waits: waits in host.text())
            host.signal(signal.SIGTERM)
            self.expect(host, 0)
            self.assertIn("nothing was trained", host.text())
            self.assertFalse((host.base / "output/success").exists())

    def test_sigterm_while_the_ranks_are_being_started(self):
        cluster = self.cluster(ENDLESS)
        cluster.start()
        leader = cluster.hosts[0]
        cluster.until(lambda: "all hosts are here" in leader.text())
        leader.signal(signal.SIGTERM)
        for host in cluster.hosts:
            self.expect(host, 0)
        self.assertTrue((leader.base / "model/model.json").exists())

    def test_parts_of_the_pictures_are_refused_on_every_host(self):
        cluster = self.cluster(SETTINGS, channel={"S3DistributionType": "ShardedByS3Key"})
        cluster.start()
        for host in cluster.hosts:
            self.expect_failure(host, "inputdataconfig.json: training: is ShardedByS3Key")


def main():
    global DATA, KEY
    if INSIDE not in os.environ:
        if why := why_not():
            print(f"SKIPPED: {why}")
            return 77
        return subprocess.run([*namespaces.words_to_enter(), sys.executable, "-B", *sys.argv],
                              env={**os.environ, INSIDE: "1"}, check=False).returncode
    del sys.argv[1]
    namespaces.make_bridge()
    with tempfile.TemporaryDirectory(prefix="kiln-hosts-") as name:
        DATA, KEY = pathlib.Path(name) / "data", pathlib.Path(name) / "key"
        subprocess.run([BIN / "kiln-data", "synth", DATA, "--train-count", "240", "--test-count",
                        "40", "--quiet"], check=True, stdout=subprocess.DEVNULL)
        namespaces.make_key(KEY)
        return 0 if unittest.main(exit=False).result.wasSuccessful() else 1


if __name__ == "__main__":
    sys.exit(main())
