"""A picture of curves over a number that doubles, such as steps; for the pages in docs."""

from __future__ import annotations

import math
from collections.abc import Mapping
from itertools import pairwise

from PIL import Image, ImageDraw, ImageFont

from tooncrafter_core.evaluation.comparison.plots import nice_ticks

SIZE = (1200, 640)
LEFT, RIGHT, TOP, BOTTOM = 90, 300, 30, 70
COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#5b5b5b")
"""Told apart by the colour-blind (Okabe and Ito 2008)."""

Curve = Mapping[int, float | None]
"""Value by number; None where there is none."""


def draw_curves(curves: Mapping[str, Curve], across: str, up: str) -> Image.Image:
    """A line for each curve with its name at the side; the axis across is logarithmic. The second half of the curves
    has the colours of the first, dashed."""
    canvas = Image.new("RGB", SIZE, "white")
    draw, font = ImageDraw.Draw(canvas), ImageFont.load_default(20)
    values = [value for curve in curves.values() for value in curve.values() if value is not None]
    ticks, numbers = nice_ticks(min(values), max(values)), sorted({number for c in curves.values() for number in c})

    def place(number: float, value: float) -> tuple[float, float]:
        share = math.log(number / numbers[0]) / (math.log(numbers[-1] / numbers[0]) or 1)
        height = (value - ticks[0]) / (ticks[-1] - ticks[0])
        return LEFT + share * (SIZE[0] - LEFT - RIGHT), SIZE[1] - BOTTOM - height * (SIZE[1] - TOP - BOTTOM)

    for tick in ticks:
        x, y = place(numbers[0], tick)
        draw.line([(x, y), place(numbers[-1], tick)], "#ddd")
        draw.text((LEFT - 10, y), f"{tick:g}", "black", font, anchor="rm")
    for number in numbers:
        draw.text((place(number, ticks[0])[0], SIZE[1] - BOTTOM + 8), str(number), "black", font, anchor="mt")
    draw.text((LEFT, 4), up, "black", font)
    draw.text((SIZE[0] - RIGHT, SIZE[1] - 34), across, "black", font, anchor="rt")
    half = -(-len(curves) // 2)
    for row, (name, curve) in enumerate(curves.items()):
        colour, dashed = COLOURS[row % half % len(COLOURS)], row >= half
        points = [place(number, value) for number, value in sorted(curve.items()) if value is not None]
        _line(draw, points, colour, dashed)
        y = TOP + 20 + 34 * row
        _line(draw, [(SIZE[0] - RIGHT + 16, y), (SIZE[0] - RIGHT + 56, y)], colour, dashed)
        draw.text((SIZE[0] - RIGHT + 64, y), name, "black", ImageFont.load_default(16), anchor="lm")
    return canvas


def _line(draw: ImageDraw.ImageDraw, points: list[tuple[float, float]], colour: str, dashed: bool) -> None:
    if not dashed:
        draw.line(points, colour, 3)
    for x, y in points:
        draw.ellipse([x - 4, y - 4, x + 4, y + 4], colour)
    for (x0, y0), (x1, y1) in pairwise(points) if dashed else ():
        pieces = max(1, round(math.dist((x0, y0), (x1, y1)) / 7)) // 2 * 2 + 1
        ends = [(x0 + (x1 - x0) * i / pieces, y0 + (y1 - y0) * i / pieces) for i in range(pieces + 1)]
        for i in range(0, pieces, 2):
            draw.line([ends[i], ends[i + 1]], colour, 3)
