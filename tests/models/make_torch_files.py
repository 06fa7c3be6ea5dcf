"""Writes the files of tests/models/torch/ with PyTorch; tests read them without it.

    bench/peers/peer-python tests/models/make_torch_files.py
"""
import collections
import io
import os
import pathlib
import zipfile

import torch
from torch import nn

FOLDER = pathlib.Path(__file__).resolve().parent / "torch"


class Mnist(nn.Module):
    """The weights of the MNIST network."""

    def __init__(self):
        super().__init__()
        self.conv1 = nn.Conv2d(1, 10, 5)
        self.conv2 = nn.Conv2d(10, 20, 5)
        self.fc1 = nn.Linear(320, 50)
        self.fc2 = nn.Linear(50, 10)


class Evil:
    """Asks for a call of os.system."""

    def __reduce__(self):
        return os.system, ("echo executed",)


def counted(*shape, dtype=torch.float32):
    """0, 1, 2, ... in row-major order."""
    return torch.arange(torch.Size(shape).numel()).reshape(shape).to(dtype)


def tensors():
    """Every type, and views of every kind."""
    base = counted(4, 6)
    return collections.OrderedDict(
        f32=counted(2, 3), f64=counted(3, dtype=torch.float64), f16=counted(3, dtype=torch.half),
        bf16=counted(3, dtype=torch.bfloat16), i64=counted(3, dtype=torch.int64),
        i32=counted(3, dtype=torch.int32), i16=counted(3, dtype=torch.int16),
        i8=-counted(3, dtype=torch.int8), u8=counted(3, dtype=torch.uint8),
        boolean=torch.tensor([True, False]), scalar=torch.tensor(2.5), empty=torch.empty(0, 3),
        whole=base, transposed=base.t(), column=base[:, 4], window=base[1:3, 2:5],
        expanded=torch.tensor([[7.0]]).expand(2, 3), parameter=nn.Parameter(counted(2)))


def rewrite(name, source, change, method=zipfile.ZIP_STORED):
    """The entries of `source` after change(entry name, bytes)."""
    with zipfile.ZipFile(FOLDER / source) as old, zipfile.ZipFile(FOLDER / name, "w") as new:
        for entry in old.namelist():
            content = change(entry, old.read(entry))
            if content is not None:
                new.writestr(zipfile.ZipInfo(entry), content, method)


def swapped(entry, content):
    """As a big-endian machine writes two f32 tensors."""
    if entry.endswith("/byteorder"):
        return b"big"
    if "/data/" in entry:
        return b"".join(content[i:i + 4][::-1] for i in range(0, len(content), 4))
    return content


def main():
    torch.manual_seed(1)
    FOLDER.mkdir(exist_ok=True)

    def save(name, value, **options):
        torch.save(value, FOLDER / name, **options)

    save("tensors.pth", tensors())
    save("mnist.pth", nn.DataParallel(Mnist()).state_dict())
    small = nn.Linear(3, 2)
    small.weight.data = counted(2, 3)
    small.bias.data = counted(2)
    optimizer = torch.optim.SGD(small.parameters(), lr=0.1, momentum=0.9)
    loss = small(torch.ones(1, 3)).sum()
    loss.backward()
    optimizer.step()
    small.weight.data = counted(2, 3)
    small.bias.data = counted(2)
    save("checkpoint.pth", {"epoch": 5, "model_state_dict": nn.DataParallel(small).state_dict(),
                            "optimizer_state_dict": optimizer.state_dict(), "loss": loss})
    save("state_dict_key.pth", {"state_dict": small.state_dict(), "best": 0.5, "arch": "small"})
    save("model_key.pth", {"model": small.state_dict(), "rng": [1, 2], "note": None})
    save("net_key.pth", {"net": small.state_dict(), "acc": 91.5, "epoch": 7})
    save("pair.pth", small.state_dict())
    save("legacy.pth", small.state_dict(), _use_new_zipfile_serialization=False)
    save("module.pth", small)
    save("evil.pth", {"weight": counted(2), "x": Evil()})
    save("list.pth", [counted(2)])
    torch.jit.script(small).save(str(FOLDER / "script.pth"))
    torch.serialization.set_crc32_options(False)
    save("no_crc.pth", small.state_dict())
    torch.serialization.set_crc32_options(True)
    rewrite("big_endian.pth", "pair.pth", swapped)
    rewrite("compressed.pth", "pair.pth", lambda _, content: content, zipfile.ZIP_DEFLATED)
    rewrite("no_storage.pth", "pair.pth",
            lambda entry, content: None if entry.endswith("/data/1") else content)
    rewrite("short_storage.pth", "pair.pth",
            lambda entry, content: content[:-4] if entry.endswith("/data/0") else content)
    buffer = io.BytesIO()
    torch.save(small.state_dict(), buffer)
    damaged = bytearray(buffer.getvalue())
    damaged[damaged.index(counted(2, 3).numpy().tobytes()) + 5] ^= 1
    (FOLDER / "damaged.pth").write_bytes(damaged)


if __name__ == "__main__":
    main()
