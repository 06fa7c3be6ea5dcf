"""Requests that tritonclient builds, read by engine/payload; replies read by tritonclient.

    inference_client_test.py PEER      PEER: the program inference_client_peer

Needs `pip install tritonclient geventhttpclient`: in $KILN_PEER_PYTHON, .venv-peers or the python3
that runs this. Exit status 77, CTest's "skipped", where it is missing.
"""

import json
import os
import subprocess
import sys
import unittest
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PROBE = "import numpy, tritonclient.http"


def find_python():
    for python in (os.environ.get("KILN_PEER_PYTHON"), str(ROOT / ".venv-peers/bin/python")):
        if python and Path(python).exists():
            if subprocess.run([python, "-c", PROBE], capture_output=True).returncode == 0:
                return python
    return None


try:
    import numpy
    import tritonclient.http as triton
except ImportError:
    found = find_python()
    if found is None or found == sys.executable:
        print("skipped: no tritonclient here; pip install tritonclient geventhttpclient into the "
              "environment of bench/peers/setup, or set KILN_PEER_PYTHON", file=sys.stderr)
        sys.exit(77)
    os.execv(found, [found, *sys.argv])

PEER = sys.argv.pop(1)
SHAPE = (2, 2, 3)  # channels, height, width, as the peer's network has it
# What a client sends of each type: exact in every one of them.
TYPES = {"UINT8": "u1", "UINT16": "<u2", "INT32": "<i4", "INT64": "<i8", "FP16": "<f2",
         "FP32": "<f4", "FP64": "<f8"}


def ask(pictures, datatype, binary, outputs=None, request_id=""):
    """The peer's description of a request, and the reply as the client reads it."""
    tensor = triton.InferInput("input", list(pictures.shape), datatype)
    tensor.set_data_from_numpy(pictures, binary_data=binary)
    body, length = triton.InferenceServerClient.generate_request_body(
        [tensor], outputs=outputs, request_id=request_id)
    if isinstance(body, str):
        body = body.encode()
    done = subprocess.run([PEER, "none" if length is None else str(length)], input=body,
                          capture_output=True, check=False)
    if done.returncode != 0:
        raise RuntimeError(done.stderr.decode())
    line, reply = done.stdout.split(b"\n", 1)
    described = json.loads(line)
    result = triton.InferenceServerClient.parse_response_body(
        reply, header_length=described["json_bytes"])
    return described, result


def pictures_of(datatype, count):
    numbers = numpy.arange(count * 12).reshape((count, *SHAPE)) * 7 % 128
    if datatype.startswith("FP"):
        numbers = numbers / 8 - 4
    return numbers.astype(TYPES[datatype])


class TritonClient(unittest.TestCase):
    def check(self, datatype, binary, channels_last):
        pictures = pictures_of(datatype, 3)
        as_network = pictures.transpose(0, 2, 3, 1)
        sent = numpy.ascontiguousarray(as_network) if channels_last else pictures
        described, result = ask(sent, datatype, binary)
        self.assertEqual(described["count"], 3)
        self.assertEqual(described["pixels"], not datatype.startswith("FP"))
        self.assertEqual(described["numbers"], as_network.ravel().tolist())
        rows = numpy.arange(3, dtype="<f4")
        want = numpy.stack([rows + numpy.float32(0.1), -rows / numpy.float32(3),
                            numpy.full(3, 1e-7, "<f4")], axis=1)
        numpy.testing.assert_array_equal(result.as_numpy("output"), want)

    def test_every_type_in_both_orders(self):
        for datatype in TYPES:
            for binary in (True, False):
                if datatype == "FP16" and not binary:
                    continue  # the client sends it as binary data alone
                for channels_last in (False, True):
                    with self.subTest(datatype=datatype, binary=binary, last=channels_last):
                        self.check(datatype, binary, channels_last)

    def test_outputs_come_as_they_are_wanted(self):
        for wanted in (True, False):
            outputs = [triton.InferRequestedOutput("output", binary_data=wanted)]
            described, result = ask(pictures_of("FP32", 1), "FP32", True, outputs)
            self.assertEqual(described["json_bytes"] is not None, wanted)
            self.assertEqual(result.as_numpy("output").shape, (1, 3))

    def test_the_id_comes_back(self):
        described, result = ask(pictures_of("UINT8", 1), "UINT8", True, request_id='a "b"\u00e9')
        self.assertEqual(described["id"], 'a "b"\u00e9')
        self.assertEqual(result.get_response()["id"], 'a "b"\u00e9')

    def test_types_without_pictures_are_refused(self):
        with self.assertRaisesRegex(RuntimeError, "^400 .*'BOOL' is not taken"):
            ask(numpy.zeros((1, *SHAPE), bool), "BOOL", True)
        with self.assertRaisesRegex(RuntimeError, "^400 .*classification"):
            ask(pictures_of("UINT8", 1), "UINT8", True,
                [triton.InferRequestedOutput("output", class_count=2)])


if __name__ == "__main__":
    unittest.main()
