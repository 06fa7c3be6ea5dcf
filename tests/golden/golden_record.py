"""How golden tensors are drawn, run in two precisions and recorded."""

import math

import torch


class Draw:
    """Seeded inputs that are exact in every dtype: multiples of 1/1024 in [-2, 2].

    Built from random integers, whose stream does not depend on the vector width of the
    machine, unlike that of torch.randn.
    """

    def __init__(self, seed):
        self._generator = torch.Generator().manual_seed(seed)

    def integers(self, low, high, *shape):
        """Uniform integers of [low, high), int64."""
        return torch.randint(low, high, shape, generator=self._generator)

    def reals(self, *shape):
        return self.integers(-2048, 2049, *shape).double() / 1024.0

    def weight_codes(self, *shape):
        """One byte per weight: weight = (code - 128) * scale, with a power of two as scale."""
        return self.integers(0, 256, *shape).to(torch.uint8)

    def positives(self, *shape):
        """Uniform multiples of 1/1024 in [0.5, 2]."""
        return self.integers(512, 2049, *shape).double() / 1024.0


def weight_scale(fan_in):
    """Power of two for which 128 * scale is PyTorch's default bound 1/sqrt(fan_in), rounded up."""
    return 2.0 ** (math.ceil(math.log2(fan_in ** -0.5)) - 7)


def decode_weights(codes, scale):
    return (codes.double() - 128.0) * scale


def relative_error(value, truth):
    """Largest difference over the largest magnitude of the tensor."""
    scale = truth.abs().max().item() if truth.numel() else 0.0
    if scale == 0.0:
        return (value.double() - truth).abs().max().item() if truth.numel() else 0.0
    return ((value.double() - truth).abs().max() / scale).item()


class Record:
    """The tensors of one file and the list of its cases for the index."""

    def __init__(self):
        self.tensors = {}
        self.cases = []

    def case(self, name, config, inputs, run):
        """Runs `run(inputs)` in float64 and float32; keeps inputs and the float64 results.

        The index keeps, per result, how far PyTorch's own float32 is from its float64:
        what any float32 implementation may be expected to reach.
        """
        truth = run({key: value.clone() for key, value in inputs.items()})
        single = run({key: _to_float32(value) for key, value in inputs.items()})
        errors = {key: relative_error(single[key], truth[key]) for key in truth}
        for key, value in inputs.items():
            self.keep(f"{name}/{key}", value.float() if value.is_floating_point() else value)
        for key, value in truth.items():
            self.keep(f"{name}/{key}", value)
        self.cases.append({
            "name": name,
            "config": config,
            "inputs": sorted(inputs),
            "results": sorted(truth),
            "pytorch_float32_relative_error": errors,
        })

    def keep(self, name, value):
        if name in self.tensors:
            raise ValueError(f"two tensors are named {name}")
        self.tensors[name] = value.detach().contiguous().clone()


def _to_float32(value):
    return value.float() if value.is_floating_point() else value.clone()
