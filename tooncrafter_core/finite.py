"""Numbers that overflowed: half precision must not become black frames."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

Model = Literal["U-Net", "VAE"]


class NotFiniteError(ValueError):
    """NaN or infinite values where there should be a picture; the message says where from and what to do.

    Attributes:
        model: the one that a wider type would help; None where none would. How a type is chosen, only the host or the
            command knows.
    """

    def __init__(self, message: str, model: Model | None = None) -> None:
        super().__init__(message)
        self.model = model


def is_finite(values: Tensor) -> bool:
    """Whether no value is NaN or infinite."""
    return bool(torch.isfinite(values).all())
