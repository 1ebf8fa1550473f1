"""How outputs are compared with golden vectors, or with one another."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

MODULE_LIMIT = 3e-5
"""Largest relative error of one module's output; both sides compute in float32."""

RUN_LIMIT = 3e-4
"""Largest relative error of a whole sampling run, over which the modules' errors add up."""


def relative_error(out: Tensor, reference: Tensor) -> float:
    """||out - ref|| / ||ref||, or ||out|| where the reference is all zeros."""
    assert out.shape == reference.shape, f"shape {tuple(out.shape)} instead of {tuple(reference.shape)}"
    difference, size = (out.double() - reference.double()).norm().item(), reference.double().norm().item()
    return difference / size if size else difference


def compare(outputs: Mapping[str, Tensor], vectors: Mapping[str, Tensor], limit: float) -> None:
    """Fail with the key and the error of every output that is further than `limit` from the vector of its name.

    Fails where there is none, too.
    """
    assert outputs, "no vector has a name that is looked for"
    errors = {key: relative_error(like(vectors[key], out), vectors[key]) for key, out in outputs.items()}
    too_far = {key: error for key, error in errors.items() if not error <= limit}
    assert not too_far, f"relative errors above {limit}: {too_far}"


def like(reference: Tensor, out: Tensor) -> Tensor:
    """The output thinned as its reference is, if that is: a vector kept of something with more dimensions."""
    return thinned(out, len(reference)) if reference.ndim == 1 < out.ndim else out


def thinned(values: Tensor, count: int) -> Tensor:
    """So many of the values, evenly spread over them in row-major order: value number i N // count for each i."""
    places = torch.arange(count) * values.numel() // count
    return values.flatten()[places.to(values.device)]


def full(like: Tensor, *values: float) -> Tensor:
    """One integer for each row of a batch: timesteps or frame rates."""
    return torch.tensor(values, device=like.device, dtype=torch.long)
