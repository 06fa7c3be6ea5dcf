"""Real clients against kiln-serve: SageMaker's SDK, boto3, tritonclient, Prometheus' parser, curl.

    serve_clients_test.py BIN      BIN: the folder of kiln and kiln-serve

Every client asks for the same two pictures; the numbers must be the same for all of them, and
their softmax what `kiln predict --json` says. Needs the environment that `bench/peers/setup
--clients` makes (.venv-clients), or $KILN_CLIENTS_PYTHON. Exit status 77, CTest's "skipped", where
it is missing.
"""

import contextlib
import io
import json
import logging
import os
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import unittest
import warnings
from pathlib import Path
from unittest import mock

ROOT = Path(__file__).resolve().parents[2]
PROBE = "import boto3, numpy, PIL, prometheus_client, sagemaker, tritonclient.http"
os.environ.setdefault("SAGEMAKER_SUPPRESS_V2_WARNING", "1")
logging.disable(logging.INFO)
warnings.simplefilter("ignore")


def run_by_clients_python():
    """Goes on in the Python that has the clients, or ends with 77."""
    if importable(sys.executable):
        return
    for python in (os.environ.get("KILN_CLIENTS_PYTHON"), ROOT / ".venv-clients/bin/python"):
        if python and importable(python):
            os.execv(python, [str(python), *sys.argv])
    print("skipped: the server's clients are not installed; run bench/peers/setup --clients, or "
          "set KILN_CLIENTS_PYTHON", file=sys.stderr)
    sys.exit(77)


def importable(python):
    with contextlib.suppress(OSError):
        return subprocess.run([python, "-W", "ignore", "-c", PROBE], capture_output=True,
                              check=False).returncode == 0
    return False


run_by_clients_python()

import boto3  # noqa: E402
import numpy  # noqa: E402
import tritonclient.http as triton  # noqa: E402
import urllib3  # noqa: E402
from PIL import Image  # noqa: E402
from prometheus_client.parser import text_string_to_metric_families  # noqa: E402
from sagemaker.deserializers import (CSVDeserializer, JSONDeserializer,  # noqa: E402
                                     NumpyDeserializer)
from sagemaker.local import LocalSession  # noqa: E402
from sagemaker.local.local_session import LocalSagemakerRuntimeClient  # noqa: E402
from sagemaker.model import Model  # noqa: E402
from sagemaker.predictor import Predictor  # noqa: E402
from sagemaker.serializers import CSVSerializer, JSONSerializer, NumpySerializer  # noqa: E402
from tritonclient.utils import InferenceServerException  # noqa: E402

BIN = Path(sys.argv.pop(1)).resolve()


def without_settings() -> dict[str, str]:
    """The environment without variables KILN_..., which the server would take for its own."""
    return {name: value for name, value in os.environ.items() if not name.startswith("KILN_")}


class World:
    """One trained model, two pictures of it, and the server."""

    def __enter__(self):
        self._folder = tempfile.TemporaryDirectory(prefix="kiln-clients-")
        self.folder = Path(self._folder.name)
        self.kiln("data", "synth", self.folder / "data", "--train-count", "500", "--test-count",
                  "50")
        self.model = self.folder / "model"
        self.kiln("train", "--model", "lenet", "--data", self.folder / "data", "--model-dir",
                  self.model, "--epochs", "2", "--seed", "1", "--log-level", "quiet")
        numbers = numpy.random.default_rng(1)
        self.pixels = numbers.integers(0, 256, (2, 32, 32, 3), dtype=numpy.uint8)
        self.pictures = [self.folder / f"{i}.png" for i in range(2)]
        for path, pixels in zip(self.pictures, self.pixels):
            Image.fromarray(pixels).save(path)
        told = self.card()["normalisation"]
        mean, std = (numpy.array(told[key], "f4") for key in ("mean", "std"))
        scaled = (self.pixels.astype("f4") / numpy.float32(255) - mean) / std
        self.values = numpy.ascontiguousarray(scaled.transpose(0, 3, 1, 2))  # [N,C,H,W]
        self.serve()
        return self

    def serve(self):
        self._errors = open(self.folder / "log", "w+", encoding="utf-8")
        self._server = subprocess.Popen(
            [BIN / "kiln-serve", self.model, "--address", "127.0.0.1", "--port", "0"],
            stdout=subprocess.PIPE, stderr=self._errors, text=True, env=without_settings())
        ready = re.match(r"kiln serve: ready on http://127\.0\.0\.1:(\d+)",
                         self._server.stdout.readline())
        if not ready:
            self._errors.seek(0)
            raise RuntimeError(f"kiln-serve did not get ready: {self._errors.read()}")
        self.port = int(ready.group(1))
        self.base = f"http://127.0.0.1:{self.port}"

    def __exit__(self, *_):
        self._server.terminate()
        self.status = self._server.wait(40)
        self._server.stdout.close()
        self._errors.close()
        self._folder.cleanup()

    def kiln(self, *words):
        run = subprocess.run([BIN / "kiln", *map(str, words)], capture_output=True, text=True,
                             check=False)
        if run.returncode != 0:
            raise RuntimeError(f"kiln {words[0]} failed: {run.stderr}")
        return run.stdout

    def card(self):
        return json.loads((self.model / "model.json").read_text())

    def predicted(self):
        """Probabilities of the two pictures as kiln predict tells them."""
        told = json.loads(self.kiln("predict", self.model, *self.pictures, "--json", "--log-level",
                                    "quiet"))
        return numpy.array([list(row["probabilities"].values()) for row in told])

    def npy(self):
        buffer = io.BytesIO()
        numpy.save(buffer, self.values)
        return buffer.getvalue()


WORLD = World()


def setUpModule():
    WORLD.__enter__()
    Clients.want = numpy.load(io.BytesIO(ask_boto3(WORLD.npy())))
    Clients.want_of_pixels = json.loads(curl("/invocations", "-H",
                                             "Content-Type: application/octet-stream",
                                             body=WORLD.pixels.tobytes())[2])


def tearDownModule():
    WORLD.__exit__()
    if WORLD.status != 0:
        raise RuntimeError(f"kiln-serve ended with {WORLD.status} after SIGTERM")


def boto_session():
    return boto3.Session(region_name="us-east-1", aws_access_key_id="none",
                         aws_secret_access_key="none")


def boto_client():
    """boto3's own client; the path of an endpoint becomes that of a container."""
    client = boto_session().client("sagemaker-runtime", endpoint_url=WORLD.base)

    def to_container(request, **_):
        request.url = WORLD.base + "/invocations"

    client.meta.events.register("before-sign.sagemaker-runtime.InvokeEndpoint", to_container)
    return client


def ask_boto3(body):
    reply = boto_client().invoke_endpoint(EndpointName="kiln", Body=body,
                                          ContentType="application/x-npy",
                                          Accept="application/x-npy")
    return reply["Body"].read()


def curl(path, *words, body=None):
    """Status, headers in small letters, body."""
    command = ["curl", "-sS", "-i", "--http1.1", "-H", "Expect:", WORLD.base + path, *words]
    if body is not None:
        command += ["--data-binary", "@-"]
    out = subprocess.run(command, input=body, capture_output=True, check=True).stdout
    head, _, rest = out.partition(b"\r\n\r\n")
    lines = head.decode().split("\r\n")
    fields = dict(line.lower().split(": ", 1) for line in lines[1:])
    return int(lines[0].split()[1]), fields, rest


class Clients(unittest.TestCase):
    want = None  # [2,10] of float64, of pictures that the client normalised
    want_of_pixels = None  # the server's normalisation rounds in another way

    def check(self, got, rows=2):
        numpy.testing.assert_array_equal(numpy.asarray(got, "f8"), self.want[:rows])

    def check_pixels(self, got, rows=2):
        numpy.testing.assert_array_equal(numpy.asarray(got, "f8"), self.want_of_pixels[:rows])


class Predictions(Clients):
    def test_they_are_those_of_kiln_predict(self):
        self.assertEqual(self.want.dtype, numpy.float64)
        scores = numpy.exp(self.want - self.want.max(axis=1, keepdims=True))
        numpy.testing.assert_allclose(scores / scores.sum(axis=1, keepdims=True),
                                      WORLD.predicted(), atol=2e-6)
        self.assertGreater(numpy.abs(self.want[0] - self.want[1]).max(), 1e-3)
        numpy.testing.assert_allclose(self.want_of_pixels, self.want, atol=1e-6)


class SageMaker(Clients):
    def session(self):
        session = LocalSession(boto_session())
        session.config = {"local": {"serving_port": WORLD.port}}
        return session

    def predictor(self, serializer, deserializer):
        return Predictor("kiln", sagemaker_session=self.session(), serializer=serializer,
                         deserializer=deserializer)

    def test_every_serializer_with_every_deserializer(self):
        for serializer in (NumpySerializer(), JSONSerializer(), CSVSerializer()):
            for deserializer in (NumpyDeserializer(), JSONDeserializer(), CSVDeserializer()):
                with self.subTest(sent=serializer.CONTENT_TYPE, wanted=deserializer.ACCEPT):
                    self.check(self.predictor(serializer, deserializer).predict(WORLD.values))

    def test_instances_get_predictions(self):
        predictor = self.predictor(JSONSerializer(), JSONDeserializer())
        reply = predictor.predict({"instances": WORLD.values.tolist()})
        self.assertEqual(list(reply), ["predictions"])
        self.check(reply["predictions"])

    def test_a_batch_larger_than_any_that_is_computed_at_once(self):
        many = numpy.concatenate([WORLD.values] * 40)
        reply = self.predictor(NumpySerializer(), NumpyDeserializer()).predict(many)
        self.check(reply.reshape(40, 2, 10)[39])
        self.assertEqual(reply.shape, (80, 10))

    def test_the_local_runtime_client(self):
        client = LocalSagemakerRuntimeClient({"local": {"serving_port": WORLD.port}})
        reply = client.invoke_endpoint(Body=WORLD.pictures[0].read_bytes(), EndpointName="kiln",
                                       ContentType="image/png", Accept="application/json")
        self.check_pixels(json.loads(reply["Body"].read()), rows=1)

    def test_boto3_reads_results_and_errors(self):
        reply = boto_client().invoke_endpoint(EndpointName="kiln", Body=WORLD.npy(),
                                              ContentType="application/x-npy", Accept="text/csv")
        self.assertEqual(reply["ContentType"], "text/csv")
        self.assertNotIn("CustomAttributes", reply)
        self.check(numpy.loadtxt(io.BytesIO(reply["Body"].read()), delimiter=","))
        reply = boto_client().invoke_endpoint(EndpointName="kiln", Body=WORLD.npy(),
                                              ContentType="application/x-npy",
                                              CustomAttributes="trace=7, b", InferenceId="1")
        self.assertEqual(reply["CustomAttributes"], "trace=7, b")
        with self.assertRaises(boto_client().exceptions.ClientError) as caught:
            boto_client().invoke_endpoint(EndpointName="kiln", Body=b"x", ContentType="text/csv")
        self.assertEqual(caught.exception.response["ResponseMetadata"]["HTTPStatusCode"], 400)


class ProcessContainer:
    """In place of the SDK's container: `kiln-serve serve` with the same variables, no Docker."""

    def __init__(self, _instance_type, _instance_count, _image, sagemaker_session, **_):
        self.port = sagemaker_session.config["local"]["serving_port"]
        self.base = tempfile.TemporaryDirectory(prefix="kiln-ml-")

    def serve(self, model_dir, environment):
        (Path(self.base.name) / "model").symlink_to(model_dir.removeprefix("file://"))
        told = {"SAGEMAKER_BASE_DIR": self.base.name, "SAGEMAKER_BIND_TO_PORT": str(self.port)}
        self.process = subprocess.Popen(
            [BIN / "kiln-serve", "serve"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
            env={**without_settings(), **{n: str(v) for n, v in environment.items()}, **told})

    def stop_serving(self):
        self.process.terminate()
        if self.process.wait(40) != 0:
            raise RuntimeError(f"kiln-serve ended with {self.process.returncode}")
        self.base.cleanup()


class LocalMode(Clients):
    """The SDK's own local mode from deploy() and transform() to the last byte, but for Docker."""

    def setUp(self):
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        self.session = LocalSession(boto_session())
        self.session.config = {"local": {"serving_port": self.port}}
        for name, own in (("local.entities._SageMakerContainer", ProcessContainer),
                          ("telemetry.telemetry_logging._requests_helper", mock.Mock())):
            patch = mock.patch(f"sagemaker.{name}", own)
            patch.start()
            self.addCleanup(patch.stop)

    def model(self):
        return Model("kiln", f"file://{WORLD.model}", role="arn:aws:iam::111111111111:role/none",
                     env={"SAGEMAKER_MODEL_SERVER_WORKERS": "1"}, predictor_cls=Predictor,
                     sagemaker_session=self.session)

    def test_deploy_predict_delete(self):
        predictor = self.model().deploy(1, "local", serializer=NumpySerializer(),
                                        deserializer=NumpyDeserializer())
        try:
            self.check(predictor.predict(WORLD.values))
        finally:
            predictor.delete_endpoint()

    def test_batch_transform(self):
        lines = [",".join(map(repr, row.ravel().tolist())) for row in WORLD.values]
        data, results = WORLD.folder / "batch.csv", WORLD.folder / "results"
        data.write_text("\n".join(lines) + "\n")
        for strategy in ("MultiRecord", "SingleRecord", None):
            with self.subTest(strategy):
                shutil.rmtree(results, ignore_errors=True)
                transformer = self.model().transformer(
                    1, "local", strategy=strategy, accept="text/csv", assemble_with="Line",
                    output_path=f"file://{results}", env={"SAGEMAKER_TS_BATCH_SIZE": "4"})
                transformer.transform(f"file://{data}", content_type="text/csv", split_type="Line",
                                      wait=False, logs=False)
                text = (results / "batch.csv.out").read_text()
                rows = [line.split(",") for line in text.splitlines() if line]
                self.check(numpy.array(rows, "f8"))


class MultiModel(Clients):
    """As the platform drives a multi-model endpoint; names are hashes, boto3 names files."""

    def test_load_list_invoke_unload(self):
        with tempfile.TemporaryDirectory(prefix="kiln-mme-") as base:
            name = "5a8cc71e4ff04a2e"
            place = Path(base) / "models" / name
            place.mkdir(parents=True)
            (place / "model").symlink_to(WORLD.model)
            shutil.copytree(WORLD.model, place / "copy")
            with mock.patch.dict(os.environ, {"SAGEMAKER_MULTI_MODEL": "true",
                                              "SAGEMAKER_BASE_DIR": base}):
                server = subprocess.Popen([BIN / "kiln-serve", "serve", "--port", "0"],
                                          stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
                                          text=True, env=without_settings())
            try:
                self.drive(re.search(r"http://\S+:\d+", server.stdout.readline())[0].replace(
                    "0.0.0.0", "127.0.0.1"), name, place)
            finally:
                server.terminate()
                self.assertEqual(server.wait(40), 0)
                server.stdout.close()

    def drive(self, url, name, place):
        pool = urllib3.PoolManager()

        def ask(method, path, body=None, **fields):
            reply = pool.request(method, url + path, body=body, headers=fields)
            return reply.status, reply.data

        self.assertEqual(ask("GET", "/ping")[0], 200)
        wish = {"model_name": name, "url": str(place / "model")}
        self.assertEqual(ask("POST", "/models", json.dumps(wish))[0], 400)  # a link out of the root
        wish["url"] = str(place / "copy")
        self.assertEqual(ask("POST", "/models", json.dumps(wish))[0], 200)
        self.assertEqual(ask("POST", "/models", json.dumps(wish))[0], 409)
        self.assertEqual(json.loads(ask("GET", "/models?limit=10")[1]),
                         {"models": [{"modelName": name, "modelUrl": wish["url"]}]})
        fields = {"Content-Type": "application/x-npy", "Accept": "application/x-npy",
                  "X-Amzn-SageMaker-Target-Model": "cats.tar.gz"}
        status, body = ask("POST", f"/models/{name}/invoke", WORLD.npy(), **fields)
        self.assertEqual(status, 200)
        self.check(numpy.load(io.BytesIO(body)))
        self.assertEqual(ask("DELETE", f"/models/{name}")[0], 200)
        self.assertEqual(ask("POST", f"/models/{name}/invoke", WORLD.npy(), **fields)[0], 404)


class Triton(Clients):
    def setUp(self):
        self.client = triton.InferenceServerClient(f"127.0.0.1:{WORLD.port}")
        self.addCleanup(self.client.close)

    def infer(self, binary_input, binary_output, datatype="FP32"):
        pictures = WORLD.values
        if datatype == "UINT8":
            pictures = numpy.ascontiguousarray(WORLD.pixels.transpose(0, 3, 1, 2))
        tensor = triton.InferInput("input", list(pictures.shape), datatype)
        tensor.set_data_from_numpy(pictures, binary_data=binary_input)
        output = triton.InferRequestedOutput("output", binary_data=binary_output)
        return self.client.infer("lenet", [tensor], outputs=[output], request_id="a b")

    def test_health(self):
        self.assertTrue(self.client.is_server_live())
        self.assertTrue(self.client.is_server_ready())
        self.assertTrue(self.client.is_model_ready("lenet"))
        self.assertTrue(self.client.is_model_ready("lenet", "1"))
        self.assertFalse(self.client.is_model_ready("lenet", "2"))
        self.assertFalse(self.client.is_model_ready("another"))

    def test_metadata(self):
        server = self.client.get_server_metadata()
        self.assertEqual(server["name"], "kiln")
        self.assertIn("binary_tensor_data", server["extensions"])
        model = self.client.get_model_metadata("lenet")
        self.assertEqual(model["versions"], ["1"])
        self.assertEqual(model["inputs"], [{"name": "input", "datatype": "FP32",
                                            "shape": [-1, 3, 32, 32]}])
        self.assertEqual(model["outputs"], [{"name": "output", "datatype": "FP32",
                                             "shape": [-1, 10]}])

    def test_binary_and_json_both_ways(self):
        for binary_input in (True, False):
            for binary_output in (True, False):
                with self.subTest(input=binary_input, output=binary_output):
                    result = self.infer(binary_input, binary_output)
                    self.check(result.as_numpy("output"))
                    self.assertEqual(result.get_response()["id"], "a b")
                    self.assertEqual(result.get_response()["model_name"], "lenet")

    def test_pixels(self):
        for binary in (True, False):
            self.check_pixels(self.infer(binary, True, "UINT8").as_numpy("output"))

    def test_errors_are_told(self):
        tensor = triton.InferInput("input", [1, 3, 31, 31], "FP32")
        tensor.set_data_from_numpy(numpy.zeros((1, 3, 31, 31), "f4"))
        with self.assertRaises(InferenceServerException) as caught:
            self.client.infer("lenet", [tensor])
        self.assertIn("[1,3,31,31]", caught.exception.message().replace(" ", ""))
        with self.assertRaises(InferenceServerException) as caught:
            self.client.infer("another", [tensor])
        self.assertEqual(caught.exception.status(), "404")


class Prometheus(Clients):
    def page(self):
        status, fields, body = curl("/metrics")
        self.assertEqual(status, 200)
        self.assertTrue(fields["content-type"].startswith("text/plain; version=0.0.4"))
        return {family.name: family for family in text_string_to_metric_families(body.decode())}

    def value(self, family, **labels):
        return sum(sample.value for sample in self.page()[family].samples
                   if labels.items() <= sample.labels.items() and
                   not sample.name.endswith("_created"))

    def test_every_family_has_help_and_samples(self):
        families = self.page()
        self.assertGreater(len(families), 8)
        for name, family in families.items():
            self.assertTrue(name.startswith("kiln_"))
            self.assertTrue(family.documentation)
            self.assertIn(family.type, ("counter", "gauge", "histogram"))
        self.assertTrue(families["kiln_pictures"].samples)  # the parser cuts _total off

    def test_counters_move_by_what_was_asked(self):
        before = (self.value("kiln_requests", endpoint="invocations", code="200"),
                  self.value("kiln_requests", endpoint="invocations", code="400"),
                  self.value("kiln_pictures", model="lenet"))
        for _ in range(3):
            ask_boto3(WORLD.npy())
        curl("/invocations", "-H", "Content-Type: text/csv", body=b"no number")
        after = (self.value("kiln_requests", endpoint="invocations", code="200"),
                 self.value("kiln_requests", endpoint="invocations", code="400"),
                 self.value("kiln_pictures", model="lenet"))
        self.assertEqual([a - b for a, b in zip(after, before)], [3, 1, 6])

    def test_histograms_are_consistent(self):
        ask_boto3(WORLD.npy())
        histograms = [f for f in self.page().values() if f.type == "histogram"]
        self.assertEqual(len(histograms), 4)
        for family in histograms:
            series = {}
            for sample in family.samples:
                labels = {k: v for k, v in sample.labels.items() if k != "le"}
                kind = sample.name.removeprefix(family.name)
                series.setdefault(tuple(sorted(labels.items())), {}).setdefault(
                    kind, []).append((sample.labels.get("le"), sample.value))
            self.assertTrue(series)
            for found in series.values():
                self.check_histogram(found)

    def check_histogram(self, found):
        bounds = [float(bound) for bound, _ in found["_bucket"]]
        counts = [count for _, count in found["_bucket"]]
        self.assertEqual(bounds, sorted(set(bounds)))
        self.assertEqual(bounds[-1], float("inf"))
        self.assertEqual(counts, sorted(counts))
        self.assertEqual(counts[-1], found["_count"][0][1])
        self.assertEqual(found["_sum"][0][1] > 0, counts[-1] > 0)


@unittest.skipUnless(shutil.which("curl"), "no curl here")
class Curl(Clients):
    def ask(self, media_type, body, *words):
        status, fields, reply = curl("/invocations", "-H", f"Content-Type: {media_type}", *words,
                                     body=body)
        self.assertEqual((status, fields["content-type"]), (200, "application/json"), reply)
        return json.loads(reply)

    def test_every_content_type(self):
        csv = "\n".join(",".join(map(repr, row.ravel().tolist())) for row in WORLD.values)
        self.check(self.ask("application/x-npy", WORLD.npy()))
        self.check(self.ask("application/json", json.dumps(WORLD.values.tolist()).encode()))
        self.check(self.ask("application/json; charset=utf-8",
                            json.dumps(WORLD.values.tolist()).encode()))
        self.check(self.ask("text/csv", csv.encode()))
        self.check_pixels(self.ask("application/octet-stream", WORLD.pixels.tobytes()))
        picture = WORLD.pictures[0].read_bytes()
        for media_type in ("image/png", "application/x-image"):
            self.check_pixels(self.ask(media_type, picture), rows=1)
        self.check_pixels(self.ask("image/png", picture, "-H", "Transfer-Encoding: chunked"),
                          rows=1)

    def test_a_jpeg_is_close_to_the_picture_it_shows(self):
        smooth = numpy.add.outer(numpy.arange(32) * 4, numpy.arange(32) * 3).astype("u1")
        image = Image.fromarray(numpy.stack([smooth, smooth // 2, 255 - smooth], axis=2))
        found = []
        for kind, options in (("jpeg", {"quality": 100, "subsampling": 0}), ("png", {})):
            buffer = io.BytesIO()
            image.save(buffer, kind, **options)
            found.append(self.ask(f"image/{kind}", buffer.getvalue())[0])
        numpy.testing.assert_allclose(found[0], found[1], atol=0.02)

    def test_every_reply_type(self):
        readers = {"application/json": json.loads,
                   "text/csv": lambda body: numpy.loadtxt(io.BytesIO(body), delimiter=","),
                   "application/x-npy": lambda body: numpy.load(io.BytesIO(body))}
        for accept, read in readers.items():
            _, fields, body = curl("/invocations", "-H", "Content-Type: application/x-npy", "-H",
                                   f"Accept: {accept}", body=WORLD.npy())
            self.assertEqual(fields["content-type"], accept)
            self.check(read(body))

    def test_errors(self):
        npy = ("-H", "Content-Type: application/x-npy")
        for want, path, words, body in (
                (400, "/invocations", npy, b"no array"),
                (404, "/nothing", (), None),
                (404, "/v2/models/another", (), None),
                (405, "/invocations", (), None),
                (405, "/ping", ("-X", "POST"), b""),
                (406, "/invocations", (*npy, "-H", "Accept: image/png"), WORLD.npy()),
                (413, "/invocations", npy, bytes(7 << 20)),
                (415, "/invocations", ("-H", "Content-Type: video/mp4"), b"x"),
                (415, "/invocations", (*npy, "-H", "Content-Encoding: gzip"), WORLD.npy()),
                (417, "/invocations", (*npy, "-H", "Expect: 200-ok"), WORLD.npy()),
                (431, "/ping", ("-H", "X: " + "y" * 9000), None),
                (501, "/ping", ("-X", "POST", "-H", "Transfer-Encoding: gzip, chunked"), b"x")):
            with self.subTest(want=want, path=path):
                status, fields, reply = curl(path, *words, body=body)
                self.assertEqual(status, want)
                self.assertEqual(fields["content-type"], "application/json")
                self.assertEqual(list(json.loads(reply)), ["error"])
                self.assertNotIn(str(WORLD.folder).encode(), reply)
                self.assertEqual("allow" in fields, want == 405)

    def test_ping(self):
        self.assertEqual(curl("/ping")[0], 200)
        self.assertEqual(curl("/ping", "--head")[2], b"")


if __name__ == "__main__":
    unittest.main()
