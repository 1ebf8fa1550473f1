"""Tensors by name from the weight files that training can be given."""

from __future__ import annotations

import pickle
from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

UNREADABLE = (
    pickle.UnpicklingError,
    SafetensorError,
    EOFError,
    RuntimeError,
    ValueError,
    LookupError,
    TypeError,
    AttributeError,
)
"""What the readers raise on files that are cut off, or never were weights."""


def read_weight_file(path: Path) -> dict[str, Tensor]:
    """Read a .safetensors file, or a PyTorch file without running code in it; what is no tensor is left out.

    Raises:
        FileNotFoundError: the file is not there.
        ValueError: it is no weight file, or holds something other than tensors by name.
    """
    try:
        if path.suffix.lower() in (".safetensors", ".sft"):
            return dict(load_file(path))
        content = torch.load(path, map_location="cpu", weights_only=True)
    except UNREADABLE as error:
        reason = next(iter(str(error).splitlines()), type(error).__name__)
        raise ValueError(f"{path} is not a weight file that can be read safely: {reason}") from error
    if not isinstance(content, Mapping):
        raise ValueError(f"{path} holds a {type(content).__name__}; expected tensors by name")
    return {str(name): value for name, value in content.items() if isinstance(value, Tensor)}
