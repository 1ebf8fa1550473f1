"""Pictures in any channels to the model's size, and sketches to the sketch encoder's hint."""

from __future__ import annotations

from typing import Literal, get_args

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor

from ..finite import NotFiniteError, is_finite
from ..inputs import shortened
from ..models.config import PIXELS_PER_LATENT

Fit = Literal["crop", "pad", "stretch"]
FITS: tuple[Fit, ...] = get_args(Fit)
Polarity = Literal["auto", "dark on light", "light on dark"]
POLARITIES: tuple[Polarity, ...] = get_args(Polarity)

MOST_ELONGATED = 64
"""Longer side of a picture by its shorter one; cropping one that is longer would first make it huge."""
_LARGEST = 16384
"""Pixels of a side of the result."""
_OVERSHOOT = 0.5
"""How far values may lie outside 0 to 1; what resizing adds at edges is less."""
_CHANNELS = (1, 3, 4)
"""Of a picture: grey, RGB, RGBA."""


def check_size(width: int, height: int) -> None:
    """Raise ValueError unless both are at least one latent pixel, and no more than anything here can be meant for."""
    for name, value in (("width", width), ("height", height)):
        if not PIXELS_PER_LATENT <= value <= _LARGEST:
            raise ValueError(f"{name} is {shortened(value)}; expected {PIXELS_PER_LATENT} to {_LARGEST} pixels")


def has_picture_shape(height: int, width: int) -> bool:
    """Whether there are pixels, and no side is longer than `MOST_ELONGATED` times the other."""
    shorter, longer = sorted((height, width))
    return 0 < longer <= MOST_ELONGATED * shorter


def check_picture(picture: object, name: str) -> Tensor:
    """A picture, once it is known to be one: (1, 3 or 4, H, W), see `check_values` for its numbers.

    Raises:
        ValueError: it is none, no pixels, a strip, or holds other numbers; the message calls it by its name.
    """
    if not isinstance(picture, Tensor):
        raise ValueError(f"{name} is {shortened(picture)}; expected a tensor (channels, height, width)")
    shape = tuple(picture.shape)
    if picture.ndim != 3 or shape[0] not in _CHANNELS:
        raise ValueError(
            f"{name} has the shape {shape}; expected 1 (grey), 3 (RGB) or 4 (RGBA) channels, height, width"
        )
    if not has_picture_shape(*shape[1:]):
        raise ValueError(
            f"{name} is {shape[2]} x {shape[1]} pixels; expected a side of at least one, and at most {MOST_ELONGATED} "
            "times the other"
        )
    check_values(picture, name, "a picture")
    return picture


def check_values(values: Tensor, name: str, kind: str) -> None:
    """Raise ValueError unless these are numbers that pictures and masks are made of.

    Args:
        values: of any shape, at least one.
        name: what the message calls them.
        kind: what they should be, likewise.

    Raises:
        NotFiniteError: NaN or infinite ones.
        ValueError: none that can be read, or others than floating-point numbers from 0 to 1; a little outside is let
            pass.
    """
    if values.is_meta or values.is_quantized or values.is_complex() or values.layout is not torch.strided:
        told = "meta" if values.is_meta else _type(values)
        raise ValueError(f"{name} is a {values.layout} tensor of {told}; expected a dense one of numbers from 0 to 1")
    if not values.is_floating_point():
        raise ValueError(
            f"{name} holds {_type(values)} values; expected floating-point ones from 0 to 1. Divide what goes to 255 "
            "by 255."
        )
    values = values if values.dtype is torch.float64 else values.float()
    if not is_finite(values):
        raise NotFiniteError(
            f"{name} holds NaN or infinite values; expected {kind} with values from 0 to 1. Look at what made it."
        )
    low, high = (float(v) for v in values.aminmax())
    if low < -_OVERSHOOT or high > 1 + _OVERSHOOT:
        raise ValueError(
            f"{name} has values from {low:g} to {high:g}; expected {kind} with values from 0 to 1. Scale them where "
            "they are made, or bring high dynamic range down to that."
        )


def to_tensor(picture: Image.Image) -> Tensor:
    """RGB (3, H, W) in [0, 1] of Pillow's picture; transparency is dropped."""
    return torch.from_numpy(np.array(picture.convert("RGB"))).permute(2, 0, 1).float() / 255


def to_rgb(pictures: Tensor) -> Tensor:
    """Grey, RGB or RGBA to RGB; what is transparent becomes white.

    Args:
        pictures: (n, 1, 3 or 4, H, W) in [0, 1].

    Returns:
        (n, 3, H, W), float32

    Raises:
        ValueError: another shape.
    """
    channels = pictures.shape[1] if pictures.ndim == 4 else 0
    if channels not in _CHANNELS:
        raise ValueError(
            f"pictures have shape {tuple(pictures.shape)} (batch, channels, height, width); expected 1 (grey), 3 (RGB) "
            "or 4 (RGBA) channels"
        )
    pictures = pictures.float()
    if channels == 4:
        return torch.lerp(torch.ones_like(pictures[:, :3]), pictures[:, :3], pictures[:, 3:])
    return pictures.expand(-1, 3, -1, -1)


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


def pad_to_latents(images: Tensor) -> Tensor:
    """Repeat the right and bottom edges up to whole latents, the size the models work at.

    Args:
        images: (n, c, H, W).

    Returns:
        (n, c, 8 h, 8 w), height and width being the next multiples of 8
    """
    height, width = images.shape[-2:]
    return F.pad(images, (0, -width % PIXELS_PER_LATENT, 0, -height % PIXELS_PER_LATENT), mode="replicate")


def _resize(images: Tensor, width: int, height: int) -> Tensor:
    if images.shape[-2:] == (height, width):
        return images
    size = (max(height, 1), max(width, 1))
    return F.interpolate(images, size=size, mode="bicubic", antialias=True).clamp(0, 1)


def sketch_hints(sketches: Tensor, polarity: Polarity = "auto") -> Tensor:
    """Line drawings to hints: white lines on black.

    Args:
        sketches: (n, 3 or 1, H, W) in [0, 1].
        polarity: what lines and paper are. `auto` judges each drawing by itself: one that is mostly light is taken for
            dark lines on paper and inverted; one that is mostly dark is taken as it is, as line-art preprocessors make
            them. So a blank page, white or black, is no sketch.

    Returns:
        (n, 1, H, W) in [0, 1]

    Raises:
        ValueError: an unknown `polarity`.
    """
    if polarity not in POLARITIES:
        raise ValueError(f"polarity is {polarity!r}; expected one of {', '.join(POLARITIES)}")
    grey = sketches.mean(dim=1, keepdim=True)
    if polarity != "auto":
        return 1 - grey if polarity == "dark on light" else grey
    on_paper = grey.mean(dim=(1, 2, 3), keepdim=True) > 0.5
    return torch.where(on_paper, 1 - grey, grey)


def _type(values: Tensor) -> str:
    return str(values.dtype).removeprefix("torch.")
