"""Many frames in one picture: a contact sheet with numbers and marks, and onion skin."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

import numpy as np
import torch
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

Colour = tuple[float, float, float]

KEYFRAME_COLOUR = "#d97706"
SKETCH_COLOUR = "#2563eb"
_CAPTION_COLOUR = "#27272a"
_SMALLEST_CAPTION = 14

_DIFFERENT = 12 / 255
"""Change of a pixel that makes it fully part of an onion skin."""


def grid(pictures: Tensor, columns: int) -> Tensor:
    """Pictures (n, 3, H, W) row by row in one (3, rows H, columns W); what is left of the last row is white."""
    count, channels, height, width = pictures.shape
    rows = -(-count // columns)
    sheet = torch.ones(rows * columns, channels, height, width)
    sheet[:count] = pictures
    return sheet.unflatten(0, (rows, columns)).permute(2, 0, 3, 1, 4).reshape(channels, rows * height, -1)


def contact_sheet(
    frames: Tensor, columns: int, keyframes: Collection[int] = (), sketches: Collection[int] = ()
) -> Tensor:
    """All frames in one picture, each above its number; keyframes and sketched frames are marked in words and colour.

    Args:
        frames: (n, 3, H, W) in [0, 1].
        columns: pictures in a row; fewer where there are fewer frames.
        keyframes: numbers of frames, from 0.
        sketches: likewise; a frame that is both counts as a keyframe.

    Returns:
        (3, rows (H + caption), columns W)
    """
    height, width = frames.shape[-2:]
    tall = max(_SMALLEST_CAPTION, height // 12)
    captions = [_caption(index, width, tall, keyframes, sketches) for index in range(len(frames))]
    return grid(torch.cat([frames.cpu().float(), torch.stack(captions)], dim=2), min(columns, len(frames)))


def _caption(index: int, width: int, height: int, keyframes: Collection[int], sketches: Collection[int]) -> Tensor:
    """A bar (3, height, width) with a frame's number and what it is."""
    kind, colour = "", _CAPTION_COLOUR
    if index in keyframes:
        kind, colour = "keyframe", KEYFRAME_COLOUR
    elif index in sketches:
        kind, colour = "sketch", SKETCH_COLOUR
    bar = Image.new("RGB", (width, height), colour)
    font = ImageFont.load_default(height * 0.75)
    ImageDraw.Draw(bar).text((height * 0.3, height / 2), f"{index}  {kind}".strip(), "white", font, anchor="lm")
    return torch.from_numpy(np.asarray(bar).copy()).permute(2, 0, 1).float() / 255


@dataclass(frozen=True)
class OnionSkin:
    """How neighbours of a frame are shown through it.

    Attributes:
        before: neighbours before it.
        after: neighbours after it.
        before_tint: their colour, red, green and blue in [0, 1].
        after_tint: likewise.
        opacity: of the nearest neighbours, 0 to 1; farther ones fade evenly.
    """

    before: int = 2
    after: int = 2
    before_tint: Colour = (0.86, 0.15, 0.15)
    after_tint: Colour = (0.09, 0.64, 0.29)
    opacity: float = 0.5


def onion_skin(frames: Tensor, index: int, skin: OnionSkin) -> Tensor:
    """A frame with its neighbours where they differ from it, as light tables show them.

    A neighbour is drawn in shades of its tint: dark lines in the full tint, white as white. Pixels that equal the
    frame's, such as a still ground, stay as they are.

    Args:
        frames: (n, 3, H, W) in [0, 1].
        index: the frame.
        skin: what is shown of its neighbours.

    Returns:
        (3, H, W) in [0, 1]
    """
    shown = frames[index].clone()
    sides = ((-1, skin.before, skin.before_tint), (1, skin.after, skin.after_tint))
    for distance in range(max(skin.before, skin.after), 0, -1):  # the nearest on top
        for direction, count, tint in sides:
            neighbour = index + direction * distance
            if distance <= count and 0 <= neighbour < len(frames):
                opacity = skin.opacity * (count + 1 - distance) / count
                shown = torch.lerp(shown, *_ghost(frames[neighbour], frames[index], tint, opacity))
    return shown


def _ghost(neighbour: Tensor, frame: Tensor, tint: Colour, opacity: float) -> tuple[Tensor, Tensor]:
    """A neighbour in shades of its tint, and how much of it each pixel shows."""
    grey = neighbour.mean(dim=0, keepdim=True)
    shades = torch.lerp(torch.tensor(tint).to(frame)[:, None, None], torch.ones_like(frame), grey)
    change = (neighbour - frame).abs().amax(dim=0, keepdim=True)
    return shades, opacity * (change / _DIFFERENT).clamp(0, 1)


def parse_tint(text: str) -> Colour:
    """A colour such as `#dc2626`.

    Raises:
        ValueError: not six hexadecimal digits.
    """
    digits = text.strip().removeprefix("#")
    try:
        red, green, blue = bytes.fromhex(digits)
    except ValueError as error:
        raise ValueError(f"cannot read the colour {text!r}; expected six hexadecimal digits such as #dc2626") from error
    return red / 255, green / 255, blue / 255
