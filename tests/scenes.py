"""Drawn scenes in which something moves on a known path, for tests of the bundled model."""

from __future__ import annotations

import random
from dataclasses import dataclass

import numpy as np
import torch
from PIL import Image, ImageDraw
from torch import Tensor

SIZE = (128, 64)
_OVERSAMPLING = 4
_BODIES = ("#e8503a", "#3a6fe8", "#f2b632", "#8a4fc8", "#e85a9c")
_GROUNDS = ("#bfe3c8", "#cfe0f5", "#f3e6cf", "#dcd3ee")
_INK = "#2b2233"


@dataclass(frozen=True)
class Scene:
    """A ball with eyes that moves on a straight line at constant speed over a plain ground with a band.

    Attributes:
        body: colour of the ball.
        ground: colour of the ground.
        start: centre at moment 0, pixels.
        end: centre at moment 1.
        radius: pixels.
    """

    body: str
    ground: str
    start: tuple[float, float]
    end: tuple[float, float]
    radius: float

    def centre(self, moment: float) -> tuple[float, float]:
        """Where the ball is; `moment` runs from 0 to 1."""
        return tuple(a + (b - a) * moment for a, b in zip(self.start, self.end, strict=True))  # type: ignore[return-value]

    def draw(self, moment: float) -> Tensor:
        """The scene (3, 64, 128) in [0, 1]."""
        image = Image.new("RGB", tuple(s * _OVERSAMPLING for s in SIZE), self.ground)
        draw = ImageDraw.Draw(image)
        _circle(draw, *self.centre(moment), self.radius, self.body)
        x, y = self.centre(moment)
        for side in (-1, 1):
            _circle(draw, x + side * self.radius / 3, y - self.radius / 4, self.radius / 5, "white")
        small = image.resize(SIZE, Image.Resampling.LANCZOS)
        return torch.from_numpy(np.asarray(small).copy()).permute(2, 0, 1).float() / 255

    def is_at(self, frame: Tensor, moment: float) -> bool:
        """Whether a frame (3, 64, 128) has the ball where it is at a moment: more of the ball than of the ground
        in the middle half of the disc there."""
        rows, columns = torch.meshgrid(torch.arange(SIZE[1]), torch.arange(SIZE[0]), indexing="ij")
        x, y = self.centre(moment)
        inside = (columns + 0.5 - x) ** 2 + (rows + 0.5 - y) ** 2 < (self.radius / 2) ** 2
        colour = frame[:, inside].mean(dim=1)
        body = self.draw(moment)[:, inside].mean(dim=1)
        ground = torch.tensor([int(self.ground[i : i + 2], 16) / 255 for i in (1, 3, 5)])
        return bool((colour - body).norm() < (colour - ground).norm())


def scenes(count: int, seed: int) -> list[Scene]:
    """Scenes of different colours and paths, each path longer than the ball is wide."""
    draw = random.Random(seed)
    made = []
    for _ in range(count):
        radius = draw.uniform(9, 13)
        travel = draw.uniform(2.4, 3.2) * radius * draw.choice((-1, 1))
        middle = draw.uniform(44, 84)
        heights = draw.uniform(20, 44), draw.uniform(20, 44)
        ends = (middle - travel / 2, heights[0]), (middle + travel / 2, heights[1])
        made.append(Scene(draw.choice(_BODIES), draw.choice(_GROUNDS), *ends, radius))
    return made


def _circle(draw: ImageDraw.ImageDraw, x: float, y: float, radius: float, fill: str) -> None:
    box = [v * _OVERSAMPLING for v in (x - radius, y - radius, x + radius, y + radius)]
    draw.ellipse(box, fill=fill, outline=_INK, width=_OVERSAMPLING)
