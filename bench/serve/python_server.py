"""LeNet behind FastAPI and uvicorn, as somebody who knows both would write it for one core.

    bench/peers/peer-python bench/serve/python_server.py MODEL_DIR --port P [--variant V]

It answers /ping and /invocations as kiln-serve does: npy in and out, nested lists in JSON, PNG with
a JSON reply. One worker, one thread of torch, no log of requests. Variants: what computes, and
where. `script` is TorchScript, frozen; `compiled` is torch.compile; `thread` leaves the model to
the thread pool that FastAPI gives to plain functions, as most examples do.
"""

import argparse
import io
import json
import sys
import warnings
from pathlib import Path

import numpy
import torch
import uvicorn
from fastapi import FastAPI, HTTPException, Request, Response
from fastapi.concurrency import run_in_threadpool
from PIL import Image
from safetensors.torch import load_file

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "peers"))
import peer_common  # noqa: E402

VARIANTS = ("eager", "script", "compiled", "thread")


def load(folder, variant):
    card = json.loads((folder / "model.json").read_text())
    network = peer_common.Net()
    network.load_state_dict(load_file(folder / "model.safetensors"))
    network.eval()
    if variant == "script":
        with torch.inference_mode(), warnings.catch_warnings():
            warnings.simplefilter("ignore", FutureWarning)
            traced = torch.jit.trace(network, torch.zeros(1, 3, 32, 32))
            network = torch.jit.freeze(traced)
    with torch.inference_mode():
        if variant == "compiled":
            network = torch.compile(network)
        for _ in range(20):  # the profiling executor of TorchScript compiles on its first runs
            network(torch.zeros(1, 3, 32, 32))
    return network, card


def pictures_of(body, media_type, mean, std):
    """What the network sees, [N,3,32,32]."""
    if media_type == "application/x-npy":
        return torch.from_numpy(numpy.load(io.BytesIO(body)))
    if media_type == "application/json":
        return torch.tensor(json.loads(body), dtype=torch.float32)
    if media_type == "image/png":
        pixels = numpy.asarray(Image.open(io.BytesIO(body)).convert("RGB").resize((32, 32)))
        values = torch.from_numpy(pixels.astype(numpy.float32)).permute(2, 0, 1) / 255.0
        return ((values - mean) / std).unsqueeze(0)
    raise HTTPException(415)


def reply_of(scores, accept):
    if accept == "application/x-npy":
        buffer = io.BytesIO()
        numpy.save(buffer, numpy.array(scores.tolist()))  # as the reference toolkit does: float64
        return Response(buffer.getvalue(), media_type=accept)
    return Response(json.dumps(scores.tolist()), media_type="application/json")


def make_app(folder, variant):
    network, card = load(folder, variant)
    mean, std = (torch.tensor(card["normalisation"][key]).view(-1, 1, 1)
                 for key in ("mean", "std"))
    app = FastAPI(openapi_url=None)

    def answer(body, media_type, accept):
        with torch.inference_mode():
            return reply_of(network(pictures_of(body, media_type, mean, std)), accept)

    @app.get("/ping")
    async def ping():
        return Response(b"{}\n", media_type="application/json")

    @app.post("/invocations")
    async def invocations(request: Request):
        body = await request.body()
        asked = (body, request.headers["content-type"], request.headers.get("accept"))
        return await run_in_threadpool(answer, *asked) if variant == "thread" else answer(*asked)

    return app


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model", type=Path)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--variant", choices=VARIANTS, default="eager")
    options = parser.parse_args()
    torch.set_num_threads(1)
    uvicorn.run(make_app(options.model, options.variant), host="127.0.0.1", port=options.port,
                loop="uvloop", http="httptools", access_log=False, log_level="warning")


if __name__ == "__main__":
    main()
