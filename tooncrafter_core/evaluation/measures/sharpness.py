"""Sharpness of single frames, by themselves."""

from __future__ import annotations

from importlib.util import find_spec

import torch
from torch import Tensor

from .measure import Measure, Truth

PACKAGE = "cpbd-py312"
"""Whose module is `cpbd`; the package of that name does not import with today's SciPy."""
BLOCK = 64
"""px; of smaller frames CPBD says nothing."""

_GREY = (0.299, 0.587, 0.114)
"""ITU-R BT.601."""


def has_cpbd() -> bool:
    """Whether the package is installed."""
    return find_spec("cpbd") is not None


def sharpness_measure() -> Measure:
    """Cumulative probability of blur detection (Narvekar and Karam 2011), 0 to 1: share of edges that look sharp."""
    about = f"Cumulative probability of blur detection (Narvekar and Karam 2011) of grey, by {PACKAGE}."
    return Measure("CPBD", "higher", about, _cpbd, of_truth=True)


def _cpbd(frames: Tensor, truth: Truth) -> Tensor:
    from cpbd import compute

    grey = (frames[1:-1] * 255).round().movedim(1, -1) @ torch.tensor(_GREY)
    return torch.tensor([float(compute(frame.round().numpy())) for frame in grey])
