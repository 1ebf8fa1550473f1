"""Many frames in one picture: a contact sheet with numbers and marks, and onion skin."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

from ..inputs import shortened

Colour = tuple[float, float, float]

KEYFRAME_COLOUR = "#d97706"
SKETCH_COLOUR = "#2563eb"
_CAPTION_COLOUR = "#27272a"
_SMALLEST_CAPTION = 14

_DIFFERENT = 12 / 255
"""Change of a pixel that makes it fully part of an onion skin."""


class Caption(NamedTuple):
    """What is written below a picture, and the bar's colour."""

    text: str
    colour: str = _CAPTION_COLOUR


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
    captions = []
    for index in range(len(frames)):
        if index in keyframes:
            captions.append(Caption(f"{index}  keyframe", KEYFRAME_COLOUR))
        elif index in sketches:
            captions.append(Caption(f"{index}  sketch", SKETCH_COLOUR))
        else:
            captions.append(Caption(str(index)))
    return grid(_captioned(frames, captions), min(columns, len(frames)))


def variants_sheet(clips: Sequence[Tensor], names: Sequence[str], shown: int) -> Tensor:
    """Several versions of a clip in one picture, a row for each with a few of its frames.

    Args:
        clips: each (n, 3, H, W) in [0, 1], all of one shape.
        names: of the clips, written below the first frame of their row.
        shown: frames of each clip, evenly spread from the first to the last; fewer where there are fewer frames.

    Returns:
        (3, clips (H + caption), shown W)
    """
    indices = torch.linspace(0, len(clips[0]) - 1, min(shown, len(clips[0]))).round().long()
    rows = []
    for clip, name in zip(clips, names, strict=True):
        captions = [Caption(name, KEYFRAME_COLOUR), *(Caption(str(int(index))) for index in indices[1:])]
        rows.append(_captioned(clip[indices], captions))
    return grid(torch.cat(rows), len(indices))


def _captioned(frames: Tensor, captions: Sequence[Caption]) -> Tensor:
    """Frames (n, 3, H, W) with a bar below each: (n, 3, H + bar, W)."""
    height, width = frames.shape[-2:]
    tall = max(_SMALLEST_CAPTION, height // 12)
    bars = torch.stack([_bar(caption, width, tall) for caption in captions])
    return torch.cat([frames.cpu().float(), bars], dim=2)


def _bar(caption: Caption, width: int, height: int) -> Tensor:
    """A caption (3, height, width)."""
    bar = Image.new("RGB", (width, height), caption.colour)
    font = ImageFont.load_default(height * 0.75)
    ImageDraw.Draw(bar).text((height * 0.3, height / 2), caption.text, "white", font, anchor="lm")
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
        raise ValueError(
            f"cannot read the colour {shortened(text)}; expected six hexadecimal digits such as #dc2626"
        ) from error
    return red / 255, green / 255, blue / 255
