"""What the bars of the server share: servers as child processes, load on them, bodies, models.

Standard library only. The server runs on core 0, the load on core 1 (kiln-serve-load pins itself).
"""

import contextlib
import http.client
import json
import math
import os
import random
import re
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import time
import zlib
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "bench/peers"))
import measuring  # noqa: E402

SERVER_CORE = 0
ON_SERVER_CORE = ("taskset", "-c", str(SERVER_CORE))
# For one thread on each core: others stand still meanwhile (needs root). Samples must stay below
# the 0.95 s a second that Linux grants to real-time threads.
REAL_TIME = ("chrt", "-f", "10")


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def get(port, path, limit=5.0):
    """Status and body of a GET."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=limit)
    with contextlib.closing(connection):
        connection.request("GET", path)
        reply = connection.getresponse()
        return reply.status, reply.read()


def post(port, path, body, fields):
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    with contextlib.closing(connection):
        connection.request("POST", path, body, fields)
        reply = connection.getresponse()
        return reply.status, reply.read()


def without_settings() -> dict[str, str]:
    """The environment without variables KILN_..., which the server would take for its own."""
    return {name: value for name, value in os.environ.items() if not name.startswith("KILN_")}


class Server:
    """A server on core 0: ready when the block begins, told to end (SIGTERM) when it is left."""

    def __init__(self, command, port, limit=60.0, first=()):
        self.command, self.port, self._limit = [str(word) for word in command], port, limit
        self._first = first

    def __enter__(self):
        self._log = tempfile.TemporaryFile("w+", encoding="utf-8", errors="replace")
        self.process = subprocess.Popen([*self._first, *ON_SERVER_CORE, *self.command],
                                        stdout=self._log, stderr=subprocess.STDOUT,
                                        env=without_settings())
        end = time.monotonic() + self._limit
        while not self.ready():
            if self.process.poll() is not None or time.monotonic() > end:
                self.process.kill()
                self.process.wait()
                raise measuring.ChildFailed(f"{self.command[0]} is not ready:\n{self.text()}")
            time.sleep(0.01)
        return self

    def __exit__(self, *_):
        self.end()
        self._log.close()

    def ready(self):
        with contextlib.suppress(OSError, http.client.HTTPException):
            return get(self.port, "/ping")[0] == 200
        return False

    def text(self):
        self._log.seek(0)
        return self._log.read()

    def signal(self, number):
        self.process.send_signal(number)

    def end(self):
        """Exit status, after SIGTERM."""
        if self.process.poll() is None:
            self.signal(signal.SIGTERM)
            try:
                self.process.wait(40)
            except subprocess.TimeoutExpired:
                self.process.kill()
        return self.process.wait()

    def cpu_seconds(self):
        return measuring.process_seconds(self.process.pid)

    def resident_bytes(self):
        """Of the process: all, and what it shares with no other."""
        sizes = {}
        for line in Path(f"/proc/{self.process.pid}/smaps_rollup").read_text().splitlines()[1:]:
            name, size = line.split()[:2]
            sizes[name.rstrip(":")] = int(size) * 1024
        return {"rss": sizes["Rss"], "private": sizes["Private_Clean"] + sizes["Private_Dirty"]}


class Load:
    """kiln-serve-load, and what others took of the machine meanwhile."""

    def __init__(self, program):
        self._program = program
        self.foreign = []
        self.first = ()

    def run(self, server, **options):
        if self.first:
            time.sleep(0.1)  # real time that others get
        with self.watched(server):
            run = subprocess.run(self.command(server.port, **options), capture_output=True,
                                 text=True, check=False)
        if run.returncode != 0:
            raise measuring.ChildFailed(f"kiln-serve-load: {run.stderr}")
        return json.loads(run.stdout)

    def command(self, port, **options):
        words = [*self.first, str(self._program), "load", "--port", str(port)]
        for name, value in options.items():
            words += [f"--{name.replace('_', '-')}", *([] if value is True else [str(value)])]
        return words

    @contextlib.contextmanager
    def watched(self, server):
        """Notes the others' share of the CPU time during the block."""
        before, own = server.cpu_seconds(), os.times()
        load = measuring.ForeignLoad().start()
        yield
        after = os.times()
        used = sum(after[:4]) - sum(own[:4]) + server.cpu_seconds() - before
        self.foreign.append(load.stop(used))

    def take_foreign(self):
        """The largest share since it was last asked for."""
        shares, self.foreign = self.foreign, []
        return max(shares, default=0.0)


@contextlib.contextmanager
def port_teller(command, first=()):
    """A server that prints its port and may not know /ping: the echo, the one without a model."""
    process = subprocess.Popen([*first, *ON_SERVER_CORE, *map(str, command)],
                               stdout=subprocess.PIPE, text=True)
    server = Server([], int(process.stdout.readline()))
    server.process = process
    try:
        yield server
    finally:
        process.stdout.close()
        server.end()


def npy(shape, values):
    """float32, as numpy.save writes it."""
    header = f"{{'descr': '<f4', 'fortran_order': False, 'shape': {tuple(shape)}, }}"
    header += " " * (-(len(header) + 11) % 64) + "\n"
    return (b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header.encode() +
            struct.pack(f"<{len(values)}f", *values))


def read_npy(body):
    """Numbers of a float64 array."""
    if body[:6] != b"\x93NUMPY" or b"'<f8'" not in body[:128]:
        raise measuring.ChildFailed(f"this is no npy reply of float64: {body[:80]!r}")
    start = 10 + struct.unpack("<H", body[8:10])[0]
    return list(struct.unpack(f"<{(len(body) - start) // 8}d", body[start:]))


def png(width, height, pixels):
    """RGB, 8 bits."""
    def chunk(name, data):
        return (struct.pack(">I", len(data)) + name + data +
                struct.pack(">I", zlib.crc32(name + data)))

    rows = b"".join(b"\0" + pixels[y * width * 3:(y + 1) * width * 3] for y in range(height))
    return (b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0,
                                                              0)) +
            chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b""))


def write_bodies(folder):
    """One picture of 32x32 in every form: {name: (file, media type, accepted type)}."""
    pixels = bytes(int(127 + 100 * math.sin(i * 0.37) * math.cos(i * 0.011)) for i in range(3072))
    planes = [pixels[i * 3 + c] for c in range(3) for i in range(1024)]
    values = [(p / 255 - 0.5) / 0.5 for p in planes]
    values = list(struct.unpack("<3072f", struct.pack("<3072f", *values)))
    rows = [[[values[c * 1024 + y * 32 + x] for x in range(32)] for y in range(32)]
            for c in range(3)]
    bodies = {"npy": (npy((1, 3, 32, 32), values), "application/x-npy", "application/x-npy"),
              "json": (json.dumps([rows]).encode(), "application/json", "application/json"),
              "png": (png(32, 32, pixels), "image/png", "application/json")}
    files = {}
    for name, (body, media_type, accept) in bodies.items():
        (folder / name).write_bytes(body)
        files[name] = (folder / name, media_type, accept)
    return files


def write_weights(path, tensors):
    """safetensors of f32: {name: (shape, values)}."""
    header, data = {}, b""
    for name, (shape, values) in sorted(tensors.items()):
        piece = struct.pack(f"<{len(values)}f", *values)
        header[name] = {"dtype": "F32", "shape": shape,
                        "data_offsets": [len(data), len(data) + len(piece)]}
        data += piece
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    path.write_bytes(struct.pack("<Q", len(text)) + text + data)


def write_noop_model(folder):
    """Takes 12,288 bytes (64x64x3) and looks at one pixel of them: what is left is the server.

    The one weight keeps the file from being empty.
    """
    folder.mkdir()
    layers = [{"type": "max_pool", "name": "pick", "kernel_size": 1, "stride": 64, "padding": 0},
              {"type": "flatten", "name": "flatten"},
              {"type": "linear", "name": "fc", "out_features": 10, "bias": False}]
    card = {"format": "kiln-model", "version": 1, "name": "noop",
            "spec": {"name": "noop", "input": {"height": 64, "width": 64, "channels": 3},
                     "classes": 10, "layers": layers},
            "classes": [f"class {i}" for i in range(10)],
            "input": {"height": 64, "width": 64, "channels": 3},
            "normalisation": {"mode": "constants", "mean": [0.5] * 3, "std": [0.5] * 3},
            "accuracy": None, "data": {"name": "drawn", "origin": "drawn", "synthetic": True}}
    (folder / "model.json").write_text(json.dumps(card))
    numbers = random.Random(1)
    weights = [numbers.uniform(-1, 1) for _ in range(30)]
    write_weights(folder / "model.safetensors", {"fc.weight": ([10, 3], weights)})
    return folder


def draw_data(kiln, folder, count):
    measuring.run_and_watch([kiln, "data", "synth", folder, "--train-count", str(count),
                             "--test-count", "50"])


def train(kiln, data, folder, model):
    """A model directory of one epoch."""
    command = [kiln, "train", "--model", model, "--data", data, "--model-dir", folder, "--epochs",
               "1", "--batch-size", "32", "--lr", "0.01", "--seed", "1", "--log-level", "quiet"]
    measuring.run_and_watch(command)
    return folder


def model_microseconds(program, network="lenet", first=()):
    """Of one picture in a session on core 0, alone."""
    run = subprocess.run([*first, *ON_SERVER_CORE, program, network, "1"], capture_output=True,
                         text=True, check=True)
    return float(re.search(r"^session\s+1\s+([\d.]+) us", run.stdout, re.MULTILINE).group(1))
