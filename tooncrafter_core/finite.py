"""Numbers that overflowed: half precision must not become black frames."""

from __future__ import annotations

import torch
from torch import Tensor


class NotFiniteError(ValueError):
    """NaN or infinite values where there should be a picture; the message says where from and what to do."""


def is_finite(values: Tensor) -> bool:
    """Whether no value is NaN or infinite."""
    return bool(torch.isfinite(values).all())
