"""LAION's aesthetic score: a linear head on CLIP's embedding of a picture."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import cast

import torch
from torch import Tensor

from ....files.weight_file import read_weight_file
from ..settings import Aesthetics
from ..store import Result
from ..views import Views
from .clip_model import ClipModel


def measurer(settings: Aesthetics, device: torch.device) -> Callable[[Views, dict[str, Result]], Result]:
    """What measures one stretch: `score`, the mean of its pictures'.

    Raises:
        ValueError: the model's folder or the head's file cannot be used.
    """
    clip = ClipModel(cast(Path, settings.clip), device)  # the settings say both or neither
    weight, bias = read_head(cast(Path, settings.head), clip.width)

    def measure(views: Views, _: dict[str, Result]) -> Result:
        return {"score": round(float((clip.pictures(views.pictures) @ weight + bias).mean()), 4)}

    return measure


def fault(result: Result, settings: Aesthetics) -> str | None:
    """`unaesthetic` or None."""
    return "unaesthetic" if result["score"] < settings.least else None


def read_head(path: Path, width: int) -> tuple[Tensor, Tensor]:
    """[weight (width,), bias ()] of a head: one linear layer, or several without anything between them, as one.

    Raises:
        ValueError: other tensors than such a head's, or of other sizes.
    """
    tensors = read_weight_file(path)
    names = [name.removesuffix("weight") for name in tensors if name.endswith("weight")]
    weight, bias = torch.eye(width), torch.zeros(width)
    try:
        if not names or len(tensors) != 2 * len(names):
            raise ValueError(f"it has {', '.join(sorted(tensors)[:6]) or 'no tensors'}")
        for name in sorted(names, key=_layer):
            layer, offset = tensors[f"{name}weight"].float(), tensors[f"{name}bias"].float()
            weight, bias = layer @ weight, layer @ bias + offset
        if len(weight) != 1:
            raise ValueError(f"it ends with {len(weight)} numbers")
    except (KeyError, RuntimeError, ValueError) as error:
        raise ValueError(
            f"{path} is no linear head from {width} numbers to one: {error}; expected weight and bias of each layer"
        ) from error
    return weight[0], bias[0]


def _layer(name: str) -> int:
    return int("0" + "".join(letter for letter in name if letter.isdigit()))
