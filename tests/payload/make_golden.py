#!/usr/bin/env python3
"""Writes what NumPy and Python say about arrays and digits: the expected values of tests/payload.

    tests/payload/make_golden.py          (needs NumPy)

tests/fuzz/corpus/npy/    arrays of two pictures, 3 high, 4 wide, 2 channels. Element i of the array
                          [N,C,H,W] in C order is 37 i mod 251 as an integer, i / 8 - 2 as a float.
tests/payload/golden/     replies as numpy.save writes them; digits.txt: bits of an f32 and the repr
                          of the double that it widens to.
"""
import io
import pathlib
import random
import struct

import numpy as np

HERE = pathlib.Path(__file__).resolve().parent
NPY = HERE.parent / "fuzz/corpus/npy"
GOLDEN = HERE / "golden"


def write(path: pathlib.Path, data: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)


def saved(array: np.ndarray, version: tuple[int, int] | None = None) -> bytes:
    out = io.BytesIO()
    np.lib.format.write_array(out, array, version=version, allow_pickle=True)
    return out.getvalue()


def arrays() -> None:
    index = np.arange(48).reshape(2, 2, 3, 4)
    floats, pixels = index / 8 - 2, index * 37 % 251
    for dtype in ("<f2", "<f4", "<f8", ">f2", ">f4", ">f8"):
        order = "big_" if dtype[0] == ">" else ""
        write(NPY / f"{order}{dtype[1:]}.npy", saved(floats.astype(dtype)))
    for dtype in ("|u1", "<u2", "<u4", "<u8", "<i2", "<i4", "<i8", ">u2", ">i4", ">i8"):
        order = "big_" if dtype[0] == ">" else ""
        write(NPY / f"{order}{dtype[1:]}.npy", saved(pixels.astype(dtype)))
    write(NPY / "i1.npy", saved((pixels % 128).astype("|i1")))
    write(NPY / "b1.npy", saved(index % 3 == 1))
    write(NPY / "nhwc_f4.npy", saved(np.ascontiguousarray(floats.transpose(0, 2, 3, 1), "<f4")))
    write(NPY / "nhwc_u1.npy", saved(np.ascontiguousarray(pixels.transpose(0, 2, 3, 1), "|u1")))
    write(NPY / "fortran_f4.npy", saved(np.asfortranarray(floats.astype("<f4"))))
    write(NPY / "fortran_nhwc_u2.npy",
          saved(np.asfortranarray(pixels.transpose(0, 2, 3, 1).astype("<u2"))))
    write(NPY / "single_f4.npy", saved(floats[0].astype("<f4")))
    write(NPY / "single_hwc_u1.npy",
          saved(np.ascontiguousarray(pixels[0].transpose(1, 2, 0), "|u1")))
    write(NPY / "version2_f4.npy", saved(floats.astype("<f4"), (2, 0)))
    write(NPY / "version3_f4.npy", saved(floats.astype("<f4"), (3, 0)))
    write(NPY / "object.npy", saved(np.array([[1, "a"]], object)))
    write(NPY / "record.npy", saved(np.zeros(4, [("a", "<f4"), ("b", "<i4")])))
    write(NPY / "complex.npy", saved(floats.astype("<c8")))
    write(NPY / "none.npy", saved(floats[:0].astype("<f4")))


def replies() -> None:
    for rows, columns in ((1, 10), (2, 10), (3, 1), (100, 7)):
        values = (np.arange(rows * columns).reshape(rows, columns) / 7 - 1).astype("<f4")
        write(GOLDEN / f"reply_{rows}x{columns}_f4.npy", saved(values))
        write(GOLDEN / f"reply_{rows}x{columns}_f8.npy", saved(values.astype("<f8")))


def digits() -> None:
    edges = (0.0, -0.0, 1.0, -1.0, 0.1, 0.5, 100.0, 1e15, 1e16, 1.5e16, 9.9e15, 1e-4, 9.9e-5,
             1e-5, 16777216.0, 16777217.0, 3.4028234e38, 1.1754944e-38, 1e-45, 123456.79, 1e10)
    bits = [struct.unpack("<I", struct.pack("<f", v))[0] for v in edges]
    draw = random.Random(1)
    bits += [draw.getrandbits(32) for _ in range(100)]
    bits += [struct.unpack("<I", struct.pack("<f", draw.gauss(0, 3)))[0] for _ in range(100)]
    # Around the two borders of the exponent form.
    for border in (1e-4, 1e16):
        near = struct.unpack("<I", struct.pack("<f", border))[0]
        bits += range(near - 4, near + 5)
    lines = []
    for b in bits:
        value = struct.unpack("<f", struct.pack("<I", b))[0]
        if value - value == 0:
            lines.append(f"{b:08x} {value!r}\n")
    write(GOLDEN / "digits.txt", "".join(lines).encode())


if __name__ == "__main__":
    arrays()
    replies()
    digits()
