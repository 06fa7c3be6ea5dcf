#!/usr/bin/env python3
"""Runs the static server as process 1 of an empty folder, as an image FROM scratch would.

    tests/link/scratch_test.py KILN_SERVE

The folder holds the program and a model below /opt/ml/model, and nothing else. Asks /ping and
/invocations, then ends the server with SIGTERM. Exit code 77 where this machine does not let a user
make namespaces.
"""
import hashlib
import http.client
import json
import pathlib
import re
import shutil
import signal
import struct
import subprocess
import sys
import tempfile
import time

UNSHARE = ["unshare", "--map-root-user", "--pid", "--fork", "--kill-child"]
SIDE, CLASSES = 4, 2
WEIGHTS = [[1.0] * SIDE * SIDE, [-1.0] * SIDE * SIDE]


def write_model(folder: pathlib.Path) -> None:
    """One linear layer: the sum of all pixels, and its negative."""
    folder.mkdir(parents=True)
    numbers = [number for row in WEIGHTS for number in row] + [0.0] * CLASSES
    weight_bytes = 4 * SIDE * SIDE * CLASSES
    header = json.dumps({
        "fc.weight": {"dtype": "F32", "shape": [CLASSES, SIDE * SIDE],
                      "data_offsets": [0, weight_bytes]},
        "fc.bias": {"dtype": "F32", "shape": [CLASSES],
                    "data_offsets": [weight_bytes, weight_bytes + 4 * CLASSES]}}).encode()
    header += b" " * (-len(header) % 8)
    weights = struct.pack("<Q", len(header)) + header + struct.pack(f"<{len(numbers)}f", *numbers)
    (folder / "model.safetensors").write_bytes(weights)
    extents = {"height": SIDE, "width": SIDE, "channels": 1}
    layers = [{"type": "flatten", "name": "flat"},
              {"type": "linear", "name": "fc", "out_features": CLASSES, "bias": True}]
    card = {"format": "kiln-model", "version": 1, "name": "sum",
            "spec": {"name": "sum", "input": extents, "classes": CLASSES, "layers": layers},
            "classes": ["light", "dark"], "input": extents,
            "normalisation": {"mode": "constants", "mean": [0.0], "std": [1.0]}, "accuracy": 0.5,
            "data": {"name": "drawn", "origin": "a test", "synthetic": True},
            "files": [{"name": "model.safetensors", "bytes": len(weights),
                       "sha256": hashlib.sha256(weights).hexdigest()}]}
    (folder / "model.json").write_text(json.dumps(card))


def port_of(server: subprocess.Popen) -> int:
    """From the line that says that the server is ready."""
    lines = []
    for line in server.stdout:
        lines.append(line)
        if found := re.search(r"ready on http://[\d.]+:(\d+)", line):
            return int(found.group(1))
    raise AssertionError("the server did not become ready:\n" + "".join(lines))


def ask(port: int, method: str, path: str, body: bytes = b"", kind: str = "") -> tuple[int, bytes]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    connection.request(method, path, body, {"Content-Type": kind} if kind else {})
    reply = connection.getresponse()
    return reply.status, reply.read()


def server_process(server: subprocess.Popen) -> int:
    """The number outside of the namespace of the process that is 1 inside."""
    children = pathlib.Path(f"/proc/{server.pid}/task/{server.pid}/children").read_text().split()
    assert len(children) == 1, children
    status = pathlib.Path(f"/proc/{children[0]}/status").read_text()
    assert re.search(r"^NSpid:.*\t1$", status, re.MULTILINE), status
    return int(children[0])


def check(server: subprocess.Popen) -> None:
    port = port_of(server)
    status, body = ask(port, "GET", "/ping")
    assert status == 200, (status, body)
    status, body = ask(port, "POST", "/invocations", bytes([255] * SIDE * SIDE),
                       "application/octet-stream")
    assert status == 200, (status, body)
    light, dark = json.loads(body)[0]
    assert light > dark, body
    status, body = ask(port, "POST", "/invocations", b"\x89PNG\r\n\x1a\n", "image/png")
    assert status == 400, (status, body)
    subprocess.run(["kill", "-TERM", str(server_process(server))], check=True)
    assert server.wait(timeout=20) == 0, server.returncode


def main() -> int:
    program = pathlib.Path(sys.argv[1])
    chroot = shutil.which("chroot") or shutil.which("chroot", path="/usr/sbin:/sbin")
    if shutil.which("unshare") is None or chroot is None:
        print("SKIPPED: no unshare or no chroot")
        return 77
    if subprocess.run([*UNSHARE, "true"], capture_output=True, check=False).returncode != 0:
        print("SKIPPED: this machine does not let a user make namespaces")
        return 77
    with tempfile.TemporaryDirectory(prefix="kiln-scratch-") as name:
        root = pathlib.Path(name)
        shutil.copy(program, root / "kiln-serve")
        write_model(root / "opt/ml/model")
        begun = time.monotonic()
        with subprocess.Popen([*UNSHARE, chroot, str(root), "/kiln-serve", "serve", "--port", "0"],
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                              env={}) as server:
            try:
                check(server)
            finally:
                server.send_signal(signal.SIGKILL)
    print(f"scratch_test: served from an empty folder, {time.monotonic() - begun:.2f} s")
    return 0


if __name__ == "__main__":
    sys.exit(main())
