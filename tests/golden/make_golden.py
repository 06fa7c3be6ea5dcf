#!/usr/bin/env python3
"""Writes the golden files of this folder with PyTorch, or checks that they can be written again.

    make_golden.py [--out DIR]     write *.safetensors, index.json and SHA256SUMS
    make_golden.py --check [DIR]   draw everything again and compare with the files of DIR

Needs torch, numpy and safetensors: run with bench/peers/peer-python. Exit status 77 when they are
missing, which CTest counts as skipped.
"""

import argparse
import hashlib
import json
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
SKIPPED = 77

try:
    import torch
    from safetensors.torch import load_file, save
except ImportError as missing:
    print(f"skipped: {missing}; bench/peers/setup makes an environment with PyTorch")
    sys.exit(SKIPPED)

import golden_networks
import golden_ops
import golden_optim
import golden_speedrun
from golden_record import relative_error

FILES = {
    "ops": golden_ops.make,
    "optimizers": golden_optim.make_optimizers,
    "schedules": golden_optim.make_schedules,
    "initialisers": golden_optim.make_initialisers,
    "lenet": golden_networks.make_lenet,
    "views": golden_networks.make_views,
    "mnist": golden_networks.make_mnist,
    "mini_resnet": golden_networks.make_resnet,
    "speedrun": golden_speedrun.make_speedrun,
}

# Another PyTorch or another processor sums in another order; inputs must be the same bits.
TOLERANCE = {torch.float64: 1e-12, torch.float32: 2e-6}


def make_all():
    torch.set_num_threads(1)  # one order of summation
    return {name: make() for name, make in FILES.items()}


def write(records, folder):
    folder.mkdir(parents=True, exist_ok=True)
    index = {"pytorch": torch.__version__, "layout": "NCHW activations, KCRS weights", "files": {}}
    sums = []
    for name, record in records.items():
        content = save(record.tensors)
        (folder / f"{name}.safetensors").write_bytes(content)
        sums.append(f"{hashlib.sha256(content).hexdigest()}  {name}.safetensors\n")
        index["files"][f"{name}.safetensors"] = record.cases
        print(f"{len(content):9,d} bytes  {len(record.tensors):4d} tensors  {name}.safetensors")
    text = json.dumps(index, indent=1) + "\n"
    (folder / "index.json").write_text(text)
    sums.append(f"{hashlib.sha256(text.encode()).hexdigest()}  index.json\n")
    (folder / "SHA256SUMS").write_text("".join(sums))


def differences(drawn, stored):
    """One line for each tensor that is missing, extra or too far off."""
    found = [f"{name}: only on one side" for name in sorted(drawn.keys() ^ stored.keys())]
    for name in sorted(drawn.keys() & stored.keys()):
        new, old = drawn[name], stored[name]
        if new.dtype != old.dtype or new.shape != old.shape:
            found.append(f"{name}: {new.dtype} {list(new.shape)}, "
                         f"stored {old.dtype} {list(old.shape)}")
        elif not new.is_floating_point():
            if not torch.equal(new, old):
                found.append(f"{name}: other integers")
        elif not (error := relative_error(new, old.double())) <= TOLERANCE[new.dtype]:
            found.append(f"{name}: off by {error:.2e} of its largest value")
    return found


def check_notices_faults(tensors):
    """The comparison itself must fail on a changed, a missing and an extra tensor."""
    name = next(n for n, t in tensors.items() if t.is_floating_point() and t.abs().max() > 0)
    changed = dict(tensors)
    changed[name] = tensors[name] + tensors[name].abs().max() * 1e-4
    missing = {n: t for n, t in tensors.items() if n != name}
    for faulty in (changed, missing):
        if not differences(faulty, tensors) or not differences(tensors, faulty):
            raise AssertionError(f"the comparison overlooked a fault in {name}")


def check(records, folder):
    fault_count = 0
    for name, record in records.items():
        check_notices_faults(record.tensors)
        found = differences(record.tensors, load_file(folder / f"{name}.safetensors"))
        fault_count += len(found)
        for line in found:
            print(f"{name}.safetensors: {line}")
        print(f"{name}.safetensors: {len(record.tensors)} tensors, {len(found)} differ")
    return fault_count


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=HERE)
    parser.add_argument("--check", type=Path, nargs="?", const=HERE, metavar="DIR")
    options = parser.parse_args()
    records = make_all()
    if options.check is None:
        write(records, options.out)
        return 0
    return 1 if check(records, options.check) else 0


if __name__ == "__main__":
    sys.exit(main())
