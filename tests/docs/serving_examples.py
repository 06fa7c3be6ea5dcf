#!/usr/bin/env python3
"""Runs the examples of docs/serving.md against a server of its own.

    tests/docs/serving_examples.py KILN_SERVE WRITE_MODEL [DOCUMENT]

WRITE_MODEL NETWORK DIR writes a model directory with drawn weights.

In a ```console block a line that begins with "$ " is run by the shell, and what it prints must be
what follows it, up to the next such line: "..." stands for anything, a number for any number.
Blocks ```console multi-model are asked of a server with --multi-model, which finds the model below
/opt/ml/models as far as the examples can tell.
Exit code 0 where all agree, 1 with each difference, 77 where curl is missing.
"""
import json
import os
import pathlib
import re
import shutil
import struct
import subprocess
import sys
import tempfile
import zlib

ROOT = pathlib.Path(__file__).resolve().parents[2]
BLOCK = re.compile(r"^```console( multi-model)?\n(.*?)^```$", re.MULTILINE | re.DOTALL)
MODELS = "/opt/ml/models"
NUMBER = r"-?\d+(?:\.\d+)?(?:e[+-]?\d+)?"
SIDE = 32


def examples(document: str, multi_model: bool) -> list[tuple[str, str]]:
    """Commands, each with what it should print."""
    found: list[tuple[str, str]] = []
    for block in (text for kind, text in BLOCK.findall(document) if bool(kind) == multi_model):
        for line in block.splitlines(keepends=True):
            if line.startswith("$ "):
                found.append((line[2:].strip(), ""))
            else:
                command, text = found[-1]
                found[-1] = (command, text + line)
    return found


def agrees(expected: str, printed: str) -> bool:
    parts = re.split(r"(\.\.\.|%s)" % NUMBER, expected.rstrip("\n"))
    pattern = "".join(".*" if p == "..." else NUMBER if re.fullmatch(NUMBER, p) else re.escape(p)
                      for p in parts)
    return re.fullmatch(pattern, printed.rstrip("\n"), re.DOTALL) is not None


def png(pixels: bytes) -> bytes:
    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
    rows = b"".join(b"\0" + pixels[y * SIDE * 3:(y + 1) * SIDE * 3] for y in range(SIDE))
    return (b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", SIDE, SIDE, 8, 2, 0, 0, 0))
            + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b""))


def npy(pictures: int, data: bytes) -> bytes:
    header = "{'descr': '|u1', 'fortran_order': False, 'shape': (%d, 3, 32, 32), }" % pictures
    header += " " * (-(len(header) + 11) % 64) + "\n"
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header.encode() + data


def write_inputs(folder: pathlib.Path) -> None:
    pixels = bytes((7 * i) % 256 for i in range(SIDE * SIDE * 3))
    planes = [[[[(x + y + c) % 256 for x in range(SIDE)] for y in range(SIDE)] for c in range(3)]] * 2
    row = ",".join(str(v) for plane in planes[0] for line in plane for v in line)
    flat = [v for plane in planes[0] for line in plane for v in line]
    (folder / "picture.png").write_bytes(png(pixels))
    shutil.copy(ROOT / "tests/fuzz/corpus/image/rgb.jpg", folder / "picture.jpg")
    (folder / "pictures.npy").write_bytes(npy(2, pixels * 2))
    (folder / "pictures.json").write_text(json.dumps(planes))
    (folder / "instances.json").write_text(json.dumps({"instances": planes}))
    (folder / "pictures.csv").write_text(row + "\n" + row + "\n")
    (folder / "request.json").write_text(json.dumps({"inputs": [
        {"name": "input", "shape": [1, 3, SIDE, SIDE], "datatype": "UINT8", "data": flat}]}))


class Server:
    def __init__(self, program: str, *words: str):
        environment = {k: v for k, v in os.environ.items() if not k.startswith("KILN_")}
        self.process = subprocess.Popen([program, *words, "--address", "127.0.0.1", "--port", "0"],
                                        stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
                                        text=True, env=environment)
        line = self.process.stdout.readline()
        match = re.search(r"http://[^:]*:(\d+)", line)
        if not match:
            raise SystemExit(f"the server did not start: {line!r}")
        self.port = match[1]

    def __enter__(self) -> "Server":
        return self

    def __exit__(self, *_: object) -> None:
        self.process.terminate()
        self.process.wait()


def faults_of(program: str, model: str, document: str) -> tuple[int, list[str]]:
    count, faults = 0, []
    for words, multi_model in (([model], False), (["--multi-model", model + "/.."], True)):
        all_examples = examples(document, multi_model)
        with tempfile.TemporaryDirectory() as folder, Server(program, *words) as server:
            write_inputs(pathlib.Path(folder))
            root = os.path.dirname(model)
            for command, expected in all_examples:
                fault = fault_of(command.replace(MODELS, root).replace(
                    "localhost:8080", f"127.0.0.1:{server.port}"), expected.replace(MODELS, root),
                    folder)
                faults += [fault] if fault else []
        count += len(all_examples)
    return count, faults


def fault_of(command: str, expected: str, folder: str) -> str:
    run = subprocess.run(command, shell=True, cwd=folder, capture_output=True, text=True,
                         errors="replace", check=False)
    if run.returncode != 0:
        return f"$ {command}\n  exit code {run.returncode}: {run.stderr.strip()}"
    if not agrees(expected, run.stdout):
        return f"$ {command}\n  should print {expected!r}\n  printed {run.stdout[:300]!r}"
    return ""


def self_test(program: str, model: str) -> list[str]:
    """Differences that must be seen."""
    good = "```console\n$ curl -s localhost:8080/v2/health/live\n{\"live\":true}\n```\n"
    bad = [good.replace("true", "false"), good.replace("{", "{{"), good.replace("/live\n", "/x\n"),
           good.replace("curl -s", "curl -s --no-such-flag"), good.replace("}\n", "}\nmore\n")]
    missed = [text for text in bad if not faults_of(program, model, text)[1]]
    return [f"not seen: {text!r}" for text in missed] + faults_of(program, model, good)[1]


def main() -> int:
    program, write_model = sys.argv[1:3]
    document = pathlib.Path(sys.argv[3] if len(sys.argv) > 3 else ROOT / "docs/serving.md")
    if shutil.which("curl") is None:
        print("SKIPPED: no curl here")
        return 77
    with tempfile.TemporaryDirectory() as models:
        model = models + "/lenet"
        subprocess.run([write_model, "lenet", model], check=True)
        faults = self_test(program, model)
        count, more = faults_of(program, model, document.read_text("utf-8"))
    for fault in faults + more:
        print(f"FAILED {fault}")
    print(f"{count} examples, {len(faults) + len(more)} faults")
    return 1 if faults or more or count == 0 else 0


if __name__ == "__main__":
    sys.exit(main())
