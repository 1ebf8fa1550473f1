"""Pictures to the model's size, and sketches to the sketch encoder's hint."""

from __future__ import annotations

from typing import Literal, get_args

import torch
import torch.nn.functional as F
from torch import Tensor

from .config import PIXELS_PER_LATENT

Fit = Literal["crop", "pad", "stretch"]
FITS: tuple[Fit, ...] = get_args(Fit)


def check_size(width: int, height: int) -> None:
    """Raise ValueError unless both are positive multiples of 8 (64 is what the published models were made for)."""
    for name, value in (("width", width), ("height", height)):
        if value < PIXELS_PER_LATENT or value % PIXELS_PER_LATENT:
            raise ValueError(f"{name} is {value}; expected a multiple of {PIXELS_PER_LATENT} pixels")


def fit_images(images: Tensor, width: int, height: int, fit: Fit) -> Tensor:
    """Resize pictures (bicubic, antialiased).

    Args:
        images: (n, c, H, W) in [0, 1].
        width: wanted width, pixels.
        height: wanted height, pixels.
        fit: `crop` keeps the shape and cuts what sticks out, `pad` keeps the shape and repeats the picture's
            edges, `stretch` does not keep the shape.

    Returns:
        (n, c, height, width) in [0, 1]

    Raises:
        ValueError: an unknown `fit`.
    """
    if fit not in FITS:
        raise ValueError(f"fit is {fit!r}; expected one of {', '.join(FITS)}")
    if fit == "stretch":
        return _resize(images, width, height)
    scales = width / images.shape[-1], height / images.shape[-2]
    scale = max(scales) if fit == "crop" else min(scales)
    scaled = _resize(images, round(images.shape[-1] * scale), round(images.shape[-2] * scale))
    left = (width - scaled.shape[-1]) // 2
    top = (height - scaled.shape[-2]) // 2
    margins = (left, width - scaled.shape[-1] - left, top, height - scaled.shape[-2] - top)
    return F.pad(scaled, margins, mode="replicate" if fit == "pad" else "constant")


def _resize(images: Tensor, width: int, height: int) -> Tensor:
    if images.shape[-2:] == (height, width):
        return images
    size = (max(height, 1), max(width, 1))
    return F.interpolate(images, size=size, mode="bicubic", antialias=True).clamp(0, 1)


def sketch_hints(sketches: Tensor) -> Tensor:
    """Line drawings to hints: white lines on black.

    A drawing that is mostly light is taken for dark lines on paper and inverted; one that is mostly dark is taken
    as it is, as line-art preprocessors make them. So a blank page, white or black, is no sketch.

    Args:
        sketches: (n, 3 or 1, H, W) in [0, 1].

    Returns:
        (n, 1, H, W) in [0, 1]
    """
    grey = sketches.mean(dim=1, keepdim=True)
    on_paper = grey.mean(dim=(1, 2, 3), keepdim=True) > 0.5
    return torch.where(on_paper, 1 - grey, grey)
