"""Reads a file of kiln's with the reference package, checks it, and writes the same tensors back.

usage: safetensors_peer.py OURS THEIRS
"""
import sys

import numpy as np
from safetensors import safe_open
from safetensors.numpy import save_file

ours, theirs = sys.argv[1:]
with safe_open(ours, framework="np") as file:
    tensors = {name: file.get_tensor(name) for name in file.keys()}
    metadata = file.metadata()

assert metadata == {"format": "pt"}, metadata
assert sorted(tensors) == ["count", "net.weight", "odd"], sorted(tensors)
expected = np.array([[1.5, -2.25, 3.0], [0.0, 1e-30, 7.0]], dtype=np.float32)
assert tensors["net.weight"].dtype == np.float32
assert np.array_equal(tensors["net.weight"], expected), tensors["net.weight"]
assert tensors["count"].shape == () and tensors["count"] == 12345678901
assert tensors["odd"].tolist() == [1, 2, 3]
save_file(tensors, theirs, metadata=metadata)
