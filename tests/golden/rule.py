"""The rule by which names make numbers: the weights and the inputs of the frozen golden set.

Stands alone, for whoever wants to make the same weights for another implementation. No library's random stream is
involved: a tensor's values are the SHAKE-256 digest of its name, read as integers.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping, Sequence

import numpy
import torch
from torch import Tensor


def uniform(name: str, shape: Sequence[int]) -> numpy.ndarray:
    """Values in [-1, 1), float64, row-major: 32-bit little-endian integers of the digest, times 2^-31, less 1."""
    count = math.prod(shape)
    digest = hashlib.shake_256(name.encode()).digest(4 * count)
    return (numpy.frombuffer(digest, "<u4") * 2.0**-31 - 1).reshape(shape)


def weight(name: str, shape: Sequence[int]) -> Tensor:
    """The float32 tensor of this full published name.

    Of variance 1 / fan-in where there are two dimensions or more. One-dimensional weights belong to normalisations and
    are near 1; biases are within 1/2 of 0; single numbers (mix factors) are anything between -1 and 1.
    """
    values = uniform(name, shape)
    is_weight = name.endswith("weight")
    if len(shape) > 1:
        values = values * math.sqrt(3 / (math.prod(shape[1:]) if is_weight else shape[-1]))
    elif values.size > 1:
        values = 1 + values / 4 if is_weight else values / 2
    return torch.from_numpy(values).float()


def unit_noise(name: str, shape: Sequence[int]) -> Tensor:
    """An input of mean 0 and variance 1, uniform."""
    return torch.from_numpy(uniform(name, shape) * math.sqrt(3)).float()


def fill(state: Mapping[str, Tensor]) -> None:
    """Give every tensor of a `state_dict()` with published names its values, in place.

    The schedule's tables, whose names have no dot, are not weights and stay.
    """
    for name, tensor in state.items():
        if "." in name:
            tensor.copy_(weight(name, tensor.shape))
