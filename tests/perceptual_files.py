"""Weight files of the perceptual distance in their real layouts, narrow and random."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor

_ALEX = {
    "features": (0, 3, 6, 8, 10),
    "blurred": ((1, 0), (2, 5), (3, 9), (4, 11), (5, 13)),
    "kernels": (11, 5, 3, 3, 3),
}
_BLURS = {"net.slice1.1.filt": 0, "net.slice2.4.filt": 0, "net.slice3.8.filt": 1}
_WIDTHS = (4, 6, 8, 6, 5)
_VGG16 = (0, 2, 5, 7, 10, 12, 14, 17, 19, 21, 24, 26, 28)
_VGG16_DEPTHS = (0, 0, 1, 1, 2, 2, 2, 3, 3, 3, 4, 4, 4)


def random_heads() -> dict[str, Tensor]:
    return {f"lin{depth}.model.1.weight": torch.rand(1, width, 1, 1) for depth, width in enumerate(_WIDTHS)}


def alex_trunk() -> dict[str, Tensor]:
    return _convs([f"features.{at}" for at in _ALEX["features"]], list(_WIDTHS), list(_ALEX["kernels"]))


def blurred_alex() -> dict[str, Tensor]:
    names = [f"net.slice{depth}.{at}" for depth, at in _ALEX["blurred"]]
    row = torch.tensor([1.0, 2.0, 1.0]) / 4
    blurs = {name: (row[:, None] * row).expand(_WIDTHS[depth], 1, 3, 3).clone() for name, depth in _BLURS.items()}
    return {**_convs(names, list(_WIDTHS), list(_ALEX["kernels"])), **blurs, **random_heads()}


def vgg16_trunk() -> dict[str, Tensor]:
    return _convs([f"features.{at}" for at in _VGG16], [_WIDTHS[depth] for depth in _VGG16_DEPTHS], [3] * 13)


def save(path: Path, tensors: object) -> Path:
    torch.save(tensors, path)
    return path


def _convs(names: list[str], widths: list[int], kernels: list[int]) -> dict[str, Tensor]:
    tensors, before = {}, 3
    for name, width, kernel in zip(names, widths, kernels, strict=True):
        tensors[f"{name}.weight"] = torch.randn(width, before, kernel, kernel) / (before**0.5 * kernel)
        tensors[f"{name}.bias"] = torch.randn(width) * 0.1
        before = width
    return tensors
