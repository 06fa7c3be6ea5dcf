"""What the PyTorch scripts of this folder share: data, the network, facts about the run."""

import datetime
import json
import os
import platform
import tarfile
from pathlib import Path

import numpy as np
import torch
from torch import nn

CLASSES = [
    "airplane", "automobile", "bird", "cat", "deer",
    "dog", "frog", "horse", "ship", "truck",
]
RECORD_BYTES = 1 + 3 * 32 * 32  # CIFAR-10 binary: label, then the planes R, G and B


class Net(nn.Module):
    """The workshop's CIFAR-10 network: 62,006 parameters, raw class scores."""

    def __init__(self):
        super().__init__()
        self.conv1 = nn.Conv2d(3, 6, 5)
        self.pool = nn.MaxPool2d(2, 2)
        self.conv2 = nn.Conv2d(6, 16, 5)
        self.fc1 = nn.Linear(16 * 5 * 5, 120)
        self.fc2 = nn.Linear(120, 84)
        self.fc3 = nn.Linear(84, 10)

    def forward(self, x):
        x = self.pool(torch.relu(self.conv1(x)))
        x = self.pool(torch.relu(self.conv2(x)))
        x = torch.flatten(x, 1)
        x = torch.relu(self.fc1(x))
        x = torch.relu(self.fc2(x))
        return self.fc3(x)


class Block(nn.Module):
    """Two 3x3 convolutions beside a shortcut, which is projected where shapes change."""

    def __init__(self, inputs, outputs, stride):
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(outputs)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(outputs)
        self.shortcut = nn.Sequential()
        if stride != 1 or inputs != outputs:
            self.shortcut = nn.Sequential(nn.Conv2d(inputs, outputs, 1, stride, bias=False),
                                          nn.BatchNorm2d(outputs))

    def forward(self, x):
        y = torch.relu(self.bn1(self.conv1(x)))
        return torch.relu(self.bn2(self.conv2(y)) + self.shortcut(x))


class ResNet18(nn.Module):
    """The CIFAR form: a 3x3 stem, four stages of two blocks, global average pooling."""

    def __init__(self):
        super().__init__()
        self.conv1 = nn.Conv2d(3, 64, 3, 1, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(64)
        inputs = 64
        for stage, outputs in enumerate((64, 128, 256, 512), start=1):
            first = Block(inputs, outputs, 1 if stage == 1 else 2)
            setattr(self, f"layer{stage}", nn.Sequential(first, Block(outputs, outputs, 1)))
            inputs = outputs
        self.linear = nn.Linear(512, 10)

    def forward(self, x):
        x = torch.relu(self.bn1(self.conv1(x)))
        x = self.layer4(self.layer3(self.layer2(self.layer1(x))))
        return self.linear(x.mean((2, 3)))


def normalise(pixels):
    """uint8 [N,3,32,32] to float32 in [-1, 1]: x/255, then (x - 0.5) / 0.5."""
    return (pixels.float() / 255.0 - 0.5) / 0.5


def _read_binary(paths):
    records = np.concatenate([np.fromfile(path, np.uint8) for path in paths])
    records = records.reshape(-1, RECORD_BYTES)
    labels = records[:, 0].astype(np.int64)
    return records[:, 1:].reshape(-1, 3, 32, 32).copy(), labels


def _read_folder(folder):
    from PIL import Image

    classes = CLASSES if (folder / CLASSES[0]).is_dir() else sorted(os.listdir(folder))
    pixels, labels = [], []
    for label, name in enumerate(classes):
        for path in sorted((folder / name).iterdir()):
            pixels.append(np.asarray(Image.open(path).convert("RGB")).transpose(2, 0, 1))
            labels.append(label)
    return np.stack(pixels), np.array(labels, np.int64)


def _decode(folder):
    train_batches = sorted(folder.glob("data_batch_?.bin"))
    if train_batches:
        return (*_read_binary(train_batches), *_read_binary([folder / "test_batch.bin"]))
    return (*_read_folder(folder / "train"), *_read_folder(folder / "test"))


def load_cifar(where, cache_folder):
    """Training pixels, training labels, test pixels, test labels as uint8 and int64 tensors.

    where: a folder of CIFAR-10 binary batches, an image folder train/<class>/*, or a
    .tar.xz of the latter, which is unpacked into cache_folder. Decoded pixels are kept in
    cache_folder, because decoding 60,000 pictures in Python takes half a minute.
    """
    where, cache_folder = Path(where), Path(cache_folder)
    cache_folder.mkdir(parents=True, exist_ok=True)
    if where.is_file():
        unpacked = cache_folder / "images"
        if not unpacked.is_dir():
            partial = cache_folder / f"images.{os.getpid()}"
            with tarfile.open(where) as archive:
                archive.extractall(partial)
            partial.rename(unpacked)
        where = unpacked
    cached = cache_folder / f"{where.resolve().as_posix().strip('/').replace('/', '-')}.npz"
    if not cached.is_file():
        train_x, train_y, test_x, test_y = _decode(where)
        partial = cached.with_suffix(f".{os.getpid()}.npz")
        np.savez(partial, train_x=train_x, train_y=train_y, test_x=test_x, test_y=test_y)
        partial.rename(cached)
    with np.load(cached) as arrays:
        names = ("train_x", "train_y", "test_x", "test_y")
        return tuple(torch.from_numpy(arrays[name]) for name in names)


def peer_name():
    """Which PyTorch this is; Debian's old package is named as such."""
    debian = torch.__file__.startswith("/usr/lib/python3/dist-packages")
    return f"PyTorch {torch.__version__}" + (" (Debian python3-torch)" if debian else "")


def cpu_model():
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.split(":", 1)[1].strip()
    return platform.machine()


def run_facts():
    """Machine, date and versions, so that a stored figure can be judged later."""
    return {
        "peer": peer_name(),
        "date": datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%d %H:%M UTC"),
        "cpu": cpu_model(),
        "cores": os.cpu_count(),
        "load_average": os.getloadavg()[0],
        "python": platform.python_version(),
        "threads": torch.get_num_threads(),
    }


def peak_rss_bytes():
    """High-water mark of this process's resident memory (VmHWM)."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmHWM"):
            return int(line.split()[1]) * 1024
    raise RuntimeError("/proc/self/status has no VmHWM")


def write_json(path, value):
    """Replaces the file in one step, so that a reader never sees half of it."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f"{path.name}.{os.getpid()}.partial")
    partial.write_text(json.dumps(value, indent=1) + "\n")
    partial.rename(path)
