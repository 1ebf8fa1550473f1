"""Simple cartoon scenes in flat colours that this project draws itself: one figure that moves.

They are the clips of two domains in the data set: `drawn`, at constant speed on a straight line, and `curved`, on a
curve and at a changing speed, which nobody can tell from the ends: what sketches are for. Where the figure is at which
moment is known, so that tests can ask whether a model put it there.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from .clip_format import HEIGHT, WIDTH, WINDOW, Frames

FRAMES = 20
"""Of a clip."""
TRAVEL = (0.4, 3.6)
"""How far a figure gets in a clip, in radii."""
PACES = (0.4, 2.5)
"""Smallest and largest exponent of time on a curve."""

OVERSAMPLING = 4
INK = (43, 34, 51)
_SHAPES = ("ball", "box", "egg")
_GROUNDS = ("plain", "plain", "floor", "hill")

Colour = tuple[int, int, int]
Point = tuple[float, float]


@dataclass(frozen=True)
class Scene:
    """A figure with a face on a plain ground; sizes in px of the clip.

    Attributes:
        shape: of the figure.
        body: its colour.
        sky: colour behind it.
        ground: what else is behind it.
        land: colour of that.
        horizon: height of that.
        start: centre of the figure at moment 0.
        end: centre at moment 1.
        radius: half its width.
        squash: its height divided by its width, at moments 0 and 1.
        gaze: where it looks at moments 0 and 1, -1 (left) to 1.
        bend: how far below the straight line it is half the way.
        pace: exponent of time; 1 is constant speed, less is fast at first.
    """

    shape: str
    body: Colour
    sky: Colour
    ground: str
    land: Colour
    horizon: float
    start: Point
    end: Point
    radius: float
    squash: Point
    gaze: Point
    bend: float = 0.0
    pace: float = 1.0

    def centre(self, moment: float) -> Point:
        """Where the figure is; `moment` runs from 0 to 1."""
        way = moment**self.pace
        x, y = (between(first, last, way) for first, last in zip(self.start, self.end, strict=True))
        return x, y + self.bend * float(np.sin(np.pi * way))

    def draw(self, moment: float) -> NDArray[np.uint8]:
        """The scene (HEIGHT, WIDTH, 3)."""
        image = Image.new("RGB", (WIDTH * OVERSAMPLING, HEIGHT * OVERSAMPLING), self.sky)
        draw = ImageDraw.Draw(image)
        self.draw_ground(draw)
        self.draw_figure(draw, moment)
        return np.asarray(image.resize((WIDTH, HEIGHT), Image.Resampling.LANCZOS))

    def draw_ground(self, draw: ImageDraw.ImageDraw) -> None:
        """Draw what is behind the figure, but for the sky."""
        if self.ground == "floor":
            draw.rectangle(box(-9, self.horizon, WIDTH + 9, HEIGHT + 9), self.land, INK, OVERSAMPLING)
        elif self.ground == "hill":
            draw.ellipse(box(-30, self.horizon, WIDTH + 30, HEIGHT + 60), self.land, INK, OVERSAMPLING)

    def clip(self) -> Frames:
        """The whole way in FRAMES frames."""
        return np.stack([self.draw(moment) for moment in np.linspace(0, 1, FRAMES)])

    @property
    def motion(self) -> float:
        """How far from its start the figure is after WINDOW frames of the clip, px."""
        there = self.centre((WINDOW - 1) / (FRAMES - 1))
        return float(np.hypot(there[0] - self.start[0], there[1] - self.start[1]))

    def draw_figure(self, draw: ImageDraw.ImageDraw, moment: float) -> None:
        """Draw the figure over what is there."""
        x, y = self.centre(moment)
        wide, tall = self.radius, self.radius * between(*self.squash, moment)
        bounds = box(x - wide, y - tall, x + wide, y + tall)
        if self.shape == "box":
            draw.rounded_rectangle(bounds, self.radius * OVERSAMPLING / 3, self.body, INK, OVERSAMPLING)
        else:
            draw.ellipse(bounds, self.body, INK, OVERSAMPLING)
        if self.shape == "egg":
            draw.chord(bounds, 20, 160, _darker(self.body), INK, OVERSAMPLING)
        look = between(*self.gaze, moment) * self.radius
        for side in (-1, 1):
            eye, level = x + look / 4 + side * self.radius / 3, y - tall / 4
            draw.ellipse(_disc(eye, level, self.radius / 4.5), "white", INK, OVERSAMPLING // 2)
            draw.ellipse(_disc(eye + look / 10, level, self.radius / 9), INK)


def random_scene(rng: np.random.Generator, travel: Point = TRAVEL) -> Scene:
    """A scene whose figure is always inside, and gets as far as `travel` says over the whole clip, in radii."""
    radius = rng.uniform(11, 18)
    tallest = radius * 1.15
    way = rng.uniform(*travel) * radius
    angle = rng.uniform(-0.35, 0.35) + (np.pi if rng.random() < 0.5 else 0)
    step = np.array([np.cos(angle), np.sin(angle)]) * way
    room = np.array([WIDTH - 2 * radius - 4, HEIGHT - 2 * tallest - 4])
    step = np.clip(step, -room, room)
    start = np.array([radius, tallest]) + 2 + np.maximum(-step, 0) + rng.uniform(0, 1, 2) * (room - abs(step))
    end = start + step
    return Scene(
        shape=str(rng.choice(_SHAPES)),
        body=bright(rng),
        sky=pale(rng),
        ground=str(rng.choice(_GROUNDS)),
        land=pale(rng),
        horizon=rng.uniform(0.55, 0.85) * HEIGHT,
        start=(float(start[0]), float(start[1])),
        end=(float(end[0]), float(end[1])),
        radius=radius,
        squash=(rng.uniform(0.85, 1.15), rng.uniform(0.85, 1.15)),
        gaze=(rng.uniform(-1, 1), rng.uniform(-1, 1)),
    )


def random_curved_scene(rng: np.random.Generator) -> Scene:
    """A scene whose figure goes on a curve, the middle of which is anywhere above or below the straight line."""
    straight = random_scene(rng, (1.2, TRAVEL[1]))
    tallest = straight.radius * 1.15 + 2
    middle = (straight.start[1] + straight.end[1]) / 2
    bend = rng.uniform(tallest, HEIGHT - tallest) - middle
    pace = float(np.exp(rng.uniform(*np.log(PACES))))
    return replace(straight, bend=float(bend), pace=pace)


def bright(rng: np.random.Generator) -> Colour:
    """Far from the pale grounds: one channel is low."""
    values = [rng.integers(150, 251), rng.integers(60, 200), rng.integers(20, 90)]
    red, green, blue = (int(value) for value in rng.permutation(values))
    return red, green, blue


def pale(rng: np.random.Generator) -> Colour:
    red, green, blue = (int(value) for value in rng.integers(175, 251, 3))
    return red, green, blue


def _darker(colour: Colour) -> Colour:
    red, green, blue = (int(0.75 * value) for value in colour)
    return red, green, blue


def between(first: float, last: float, moment: float) -> float:
    return first + (last - first) * moment


def box(*values: float) -> list[float]:
    return [value * OVERSAMPLING for value in values]


def _disc(x: float, y: float, radius: float) -> list[float]:
    return box(x - radius, y - radius, x + radius, y + radius)
