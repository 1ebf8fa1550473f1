"""Drawn characters with transparency on backgrounds, moving about: the toon clips of the data set."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import ceil, floor

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from .clip_format import HEIGHT, WIDTH, WINDOW

SPRITE = 256
"""Width and height of a character's picture, px."""
_MARGIN = 8  # transparent px around a character, so that a shifted box stays inside: at most SPRITE / 40 are needed
_PANELS = (512, 288)

Track = NDArray[np.float64]
"""(t, 2): x and y in px of the clip"""
Box = tuple[float, float, float, float]


def premultiply(picture: Image.Image) -> Image.Image:
    """A character's picture of SPRITE px as premultiplied RGBa with a transparent margin."""
    padded = Image.new("RGBA", (SPRITE + 2 * _MARGIN, SPRITE + 2 * _MARGIN))
    padded.paste(picture.convert("RGBA"), (_MARGIN, _MARGIN))
    return padded.convert("RGBa")


def composite(background: NDArray[np.uint8], sprite: Image.Image, size: float, centre: tuple[float, float]) -> None:
    """Draw a premultiplied character over a background (HEIGHT, WIDTH, 3) in place.

    Args:
        size: width and height of the whole character picture in px of the clip, 40 or more.
        centre: x and y of its centre in px, fractions included; it may lie outside.
    """
    left, top = centre[0] - size / 2, centre[1] - size / 2
    x0, y0, x1, y1 = floor(left), floor(top), ceil(left + size), ceil(top + size)
    scale = SPRITE / size
    shown = (x0 - left, y0 - top, x1 - left, y1 - top)
    box = (
        _MARGIN + scale * shown[0],
        _MARGIN + scale * shown[1],
        _MARGIN + scale * shown[2],
        _MARGIN + scale * shown[3],
    )
    small = np.asarray(sprite.resize((x1 - x0, y1 - y0), Image.Resampling.HAMMING, box=box), dtype=np.float32)
    height, width = background.shape[:2]
    cut_x0, cut_y0, cut_x1, cut_y1 = max(x0, 0), max(y0, 0), min(x1, width), min(y1, height)
    if cut_x0 >= cut_x1 or cut_y0 >= cut_y1:
        return
    small = small[cut_y0 - y0 : cut_y1 - y0, cut_x0 - x0 : cut_x1 - x0]
    behind = background[cut_y0:cut_y1, cut_x0:cut_x1]
    mixed = small[..., :3] + (1 - small[..., 3:] / 255) * behind
    background[cut_y0:cut_y1, cut_x0:cut_x1] = mixed.round().clip(0, 255).astype(np.uint8)


def travel(rng: np.random.Generator, frames: int, low: tuple[float, float], high: tuple[float, float]) -> Track:
    """A smooth path of legs of about 16 frames and 10 to 60 px each, with x and y between `low` and `high`.

    A leg is straight, an arc or a hop; it keeps its speed, speeds up, slows down, or does both.
    """
    here = rng.uniform(low, high)
    legs: list[Track] = []
    while sum(map(len, legs)) < frames:
        there = _next_stop(rng, here, low, high)
        steps = int(rng.integers(14, 20))
        time = _EASINGS[rng.integers(len(_EASINGS))](np.linspace(0, 1, steps, endpoint=False))[:, None]
        leg = here + (there - here) * time
        kind = rng.choice(["line", "arc", "hop"])
        bend = 4 * time * (1 - time)
        if kind == "arc":
            across = np.array([here[1] - there[1], there[0] - here[0]])
            leg = leg + bend * across * rng.uniform(-0.35, 0.35)
        elif kind == "hop":
            leg = leg - bend * np.array([0, rng.uniform(8, 18)])
        pause = np.repeat(there[None], rng.integers(0, 4), axis=0)
        legs += [leg, pause]
        here = there
    return np.concatenate(legs)[:frames]


def reach(path: Track) -> float:
    """The farthest that a path (t, 2) gets within WINDOW frames, px."""
    steps = min(WINDOW, len(path)) - 1
    return float(np.linalg.norm(path[steps:] - path[: len(path) - steps], axis=1).max())


def pan(rng: np.random.Generator, size: tuple[int, int], frames: int, moves: bool) -> tuple[list[Box], float]:
    """Boxes of a picture of `size` (width, height) to see in each frame, and how far they pan in WINDOW frames, px."""
    widest = min(size[0], size[1] * WIDTH / HEIGHT)
    width = rng.uniform(0.35, 0.75) * widest
    scale = width / WIDTH
    room = np.array([size[0] - width, size[1] - width * HEIGHT / WIDTH])
    shift = np.zeros(2)
    if moves:
        distance = min(rng.uniform(8, 48) * scale, room[0])
        shift = np.array([distance, rng.uniform(-0.2, 0.2) * min(distance, room[1])]) * rng.choice([-1, 1])
    start = rng.uniform(0, room - abs(shift)) + np.maximum(-shift, 0)
    corners = start + shift * np.linspace(0, 1, frames)[:, None]
    boxes = [_inside((x, y, x + width, y + width * HEIGHT / WIDTH), size) for x, y in corners]
    return boxes, float(np.linalg.norm(shift)) / scale * (WINDOW - 1) / max(frames - 1, 1)


def draw_background(rng: np.random.Generator) -> Image.Image:
    """A flat, shaded, two-tone or patterned picture in random colours."""
    picture = _shade(_colour(rng), _colour(rng) if rng.random() < 0.6 else None, bool(rng.integers(2)))
    kind = rng.choice(["plain", "ground", "stripes", "dots", "boards", "clouds"])
    draw = ImageDraw.Draw(picture)
    width, height = picture.size
    colour, step = _colour(rng), int(rng.integers(24, 72))
    if kind == "ground":
        edge = rng.integers(height // 3, 3 * height // 4)
        lift = rng.uniform(0, 40)
        xs = np.arange(0, width + 8, 8)
        line = edge + lift * np.sin(xs / rng.uniform(40, 120))
        draw.polygon([*zip(xs.tolist(), line.tolist(), strict=True), (width, height), (0, height)], fill=colour)
    elif kind == "stripes":
        slant = int(rng.integers(-step, step + 1))
        for x in range(-3 * step, width + 3 * step, 2 * step):
            draw.polygon([(x, 0), (x + step, 0), (x + step + slant, height), (x + slant, height)], fill=colour)
    elif kind == "dots":
        radius = rng.uniform(0.15, 0.4) * step
        for row, y in enumerate(range(0, height + step, step)):
            for x in range(-step + row % 2 * step // 2, width + step, step):
                draw.ellipse([x - radius, y - radius, x + radius, y + radius], fill=colour)
    elif kind == "boards":
        for y in range(0, height, step):
            for x in range(y // step % 2 * step, width, 2 * step):
                draw.rectangle([x, y, x + step - 1, y + step - 1], fill=colour)
    elif kind == "clouds":
        for _ in range(int(rng.integers(6, 16))):
            across, down, w = rng.uniform(0, width), rng.uniform(0, height), rng.uniform(20, 90)
            oval = [across - w, down - w / 2, across + w, down + w / 2]
            draw.ellipse(oval, fill=colour if rng.random() < 0.7 else _colour(rng))
    return picture


def _next_stop(
    rng: np.random.Generator, here: NDArray[np.float64], low: tuple[float, float], high: tuple[float, float]
) -> NDArray[np.float64]:
    """10 to 60 px to one side, on whichever side there is more room if the first choice does not fit."""
    distance = rng.uniform(10, 60) * rng.choice([-1, 1])
    if not low[0] <= here[0] + distance <= high[0]:
        distance = -distance
    x = np.clip(here[0] + distance, low[0], high[0])
    return np.array([x, rng.uniform(low[1], high[1])])


_EASINGS: tuple[Callable[[NDArray[np.float64]], NDArray[np.float64]], ...] = (
    lambda t: t,
    lambda t: t**2,
    lambda t: t * (2 - t),
    lambda t: t * t * (3 - 2 * t),
)


def _shade(first: Sequence[int], second: Sequence[int] | None, upright: bool) -> Image.Image:
    width, height = _PANELS
    ramp = np.linspace(0, 1, height)[:, None, None] if upright else np.linspace(0, 1, width)[None, :, None]
    mixed = np.asarray(first) + ramp * (np.asarray(second or first) - np.asarray(first))
    return Image.fromarray(np.broadcast_to(mixed, (height, width, 3)).round().astype(np.uint8))


def _colour(rng: np.random.Generator) -> tuple[int, int, int]:
    red, green, blue = rng.integers(20, 251, size=3).tolist()
    return red, green, blue


def _inside(box: Box, size: tuple[int, int]) -> Box:
    """The box without what rounding put outside the picture."""
    return max(box[0], 0.0), max(box[1], 0.0), min(box[2], float(size[0])), min(box[3], float(size[1]))
