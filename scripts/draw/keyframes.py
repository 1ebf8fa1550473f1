"""Draws the pictures of the demo and of the workflows: a ball that hops over grass, at any moment of the hop.

    python scripts/draw/keyframes.py     # writes assets/keyframes/

The drawings are this project's own, under its licence.
"""

from __future__ import annotations

import argparse
import math
from pathlib import Path

from PIL import Image, ImageDraw

ROOT = Path(__file__).resolve().parents[2]
SIZE = (512, 320)
FRAMES = 16
_OVERSAMPLING = 4
_INK, _SKY, _SUN, _GRASS = "#2b2233", "#aee0f2", "#ffd95a", "#8fd08f"
_BALL, _CHEEK = "#f2612b", "#f7a48f"


def picture(moment: float) -> Image.Image:
    """The scene in colour; `moment` runs from 0 (first keyframe) to 1 (last)."""
    image, draw = _paper(_SKY)
    _meadow(draw, _SUN, _GRASS)
    _ball(draw, moment, _BALL, _CHEEK)
    return _finished(image)


def sketch(moment: float) -> Image.Image:
    """The same as black lines on white."""
    image, draw = _paper("white")
    _meadow(draw, "white", "white")
    _ball(draw, moment, "white", "white")
    return _finished(image)


def mask() -> Image.Image:
    """White where the ball passes, with room around it, black elsewhere."""
    image, draw = _paper("black")
    draw.rectangle(_scaled(96, 48, 400, 296), fill="white")
    return _finished(image)


def _meadow(draw: ImageDraw.ImageDraw, sun: str, grass: str) -> None:
    _circle(draw, 440, 86, 34, sun)
    draw.rectangle(_scaled(-8, 262, 520, 330), fill=grass, outline=_INK, width=_stroke())


def _ball(draw: ImageDraw.ImageDraw, moment: float, body: str, cheek: str) -> None:
    """Squashed on the ground, stretched in the air, with a face that turns a little forward."""
    height = math.sin(math.pi * moment)
    x, y = 170 + 150 * moment, 206 - 60 * height
    wide, tall = 60 - 6 * height, 54 + 8 * height
    lean = 14 * math.cos(math.pi * moment)
    draw.ellipse(_scaled(x - wide, y - tall, x + wide, y + tall), fill=body, outline=_INK, width=_stroke())
    for side in (-1, 1):
        eye = x + lean + 20 * side
        draw.ellipse(_scaled(eye - 12, y - 28, eye + 12, y), fill="white", outline=_INK, width=_stroke(3))
        _circle(draw, eye + lean / 4, y - 13, 5, _INK)
        _circle(draw, eye + 14 * side, y + 14, 7, cheek, outline=cheek)
    draw.arc(_scaled(x + lean - 16, y - 2, x + lean + 16, y + 24), 20, 160, fill=_INK, width=_stroke())


def _paper(colour: str) -> tuple[Image.Image, ImageDraw.ImageDraw]:
    image = Image.new("RGB", (SIZE[0] * _OVERSAMPLING, SIZE[1] * _OVERSAMPLING), colour)
    return image, ImageDraw.Draw(image)


def _finished(image: Image.Image) -> Image.Image:
    return image.resize(SIZE, Image.Resampling.LANCZOS)


def _scaled(*values: float) -> list[float]:
    return [value * _OVERSAMPLING for value in values]


def _stroke(width: int = 4) -> int:
    return width * _OVERSAMPLING


def _circle(draw: ImageDraw.ImageDraw, x: float, y: float, radius: float, fill: str, outline: str = _INK) -> None:
    draw.ellipse(_scaled(x - radius, y - radius, x + radius, y + radius), fill=fill, outline=outline, width=_stroke(3))


def main() -> None:
    argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter).parse_args()
    folder = ROOT / "assets" / "keyframes"
    folder.mkdir(parents=True, exist_ok=True)
    for name, moment in {"first": 0, "top": 0.5, "last": 1}.items():
        picture(moment).save(folder / f"{name}.png")
    mask().save(folder / "mask.png")
    for frame in (0, 2, 4, 6, 7, 9, 11, 13, FRAMES - 1):
        sketch(frame / (FRAMES - 1)).save(folder / f"sketch_{frame:02}.png")
    first, *others = (sketch(frame / (FRAMES - 1)) for frame in range(FRAMES))
    first.save(folder / "sketches.webp", save_all=True, append_images=others, duration=1000 // 12, lossless=True)


if __name__ == "__main__":
    main()
