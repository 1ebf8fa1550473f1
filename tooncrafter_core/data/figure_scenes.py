"""Richer scenes than `drawn_scenes`: up to three figures with limbs among things that stand still.

They are the clips of two domains in the data set: `figures`, in flat colours, and `lines`, the same as ink on paper.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from .clip_format import HEIGHT, WIDTH, Frames
from .drawn_scenes import FRAMES, INK, OVERSAMPLING, Colour, Point, Scene, between, box, bright, pale

PAPER = (255, 255, 255)

_RADII = (8.0, 18.0)
_TRAVEL = (0.0, 3.2)
"""How far a figure gets in a clip, in radii."""
_HOP = 0.35
"""Height of a hop, as a share of its length: figures that stand on the ground at both ends hop between them."""
_PROPS = ("sun", "cloud", "tree", "house", "fence", "ball")


@dataclass(frozen=True)
class Prop:
    """A thing that stands still; `size` is about half its width, px of the clip."""

    kind: str
    place: Point
    size: float
    colour: Colour
    second: Colour

    def draw(self, draw: ImageDraw.ImageDraw) -> None:
        """Draw it over what is there."""
        (x, y), s = self.place, self.size
        if self.kind in ("sun", "ball"):
            draw.ellipse(box(x - s, y - s, x + s, y + s), self.colour, INK, OVERSAMPLING)
        elif self.kind == "cloud":
            for shift, size in ((-0.7, 0.5), (0.7, 0.5), (0.0, 0.7)):
                cx, radius = x + shift * s, size * s
                draw.ellipse(box(cx - radius, y - radius, cx + radius, y + radius), self.colour, INK, OVERSAMPLING)
        elif self.kind == "tree":
            draw.rectangle(box(x - s / 5, y, x + s / 5, y + 1.8 * s), self.second, INK, OVERSAMPLING)
            draw.ellipse(box(x - s, y - s, x + s, y + s), self.colour, INK, OVERSAMPLING)
        elif self.kind == "house":
            draw.rectangle(box(x - s, y, x + s, y + 1.4 * s), self.colour, INK, OVERSAMPLING)
            draw.polygon(box(x - 1.2 * s, y, x, y - s, x + 1.2 * s, y), self.second, INK, OVERSAMPLING)
            draw.rectangle(box(x - s / 3, y + s / 2, x + s / 4, y + 1.4 * s), self.second, INK, OVERSAMPLING)
        else:
            for step in range(4):
                left = x + step * s * 0.6
                draw.rectangle(box(left, y - s / 2, left + s * 0.3, y + s), self.colour, INK, OVERSAMPLING)


@dataclass(frozen=True)
class Limbs:
    """Two arms and two legs, straight, that turn evenly between two poses (four angles, radians from straight down)."""

    first: tuple[float, ...]
    last: tuple[float, ...]
    length: float
    colour: Colour

    def draw(self, draw: ImageDraw.ImageDraw, centre: Point, radius: float, tall: float, moment: float) -> None:
        """Draw them around a body; what it covers is drawn over."""
        shoulders = ((-0.85, 0.1), (0.85, 0.1), (-0.45, 0.75), (0.45, 0.75))
        for (along, down), first, last in zip(shoulders, self.first, self.last, strict=True):
            angle = between(first, last, moment)
            x, y = centre[0] + along * radius, centre[1] + down * tall
            end = x + self.length * np.sin(angle), y + self.length * np.cos(angle)
            for colour, width in ((INK, 4.5), (self.colour, 2.5)):
                draw.line(box(x, y, *end), colour, round(width * OVERSAMPLING))
            draw.ellipse(box(end[0] - 2.2, end[1] - 2.2, end[0] + 2.2, end[1] + 2.2), self.colour, INK, OVERSAMPLING)


@dataclass(frozen=True)
class FigureScene:
    """Figures on one ground, the first in the back.

    Attributes:
        stage: the ground, as the scene of the figure in the back.
        figures: each drawn as that scene draws its figure.
        limbs: of each figure, or None.
        props: behind the figures.
    """

    stage: Scene
    figures: tuple[Scene, ...]
    limbs: tuple[Limbs | None, ...]
    props: tuple[Prop, ...]

    def draw(self, moment: float) -> NDArray[np.uint8]:
        """The scene (HEIGHT, WIDTH, 3); `moment` runs from 0 to 1."""
        image = Image.new("RGB", (WIDTH * OVERSAMPLING, HEIGHT * OVERSAMPLING), self.stage.sky)
        draw = ImageDraw.Draw(image)
        self.stage.draw_ground(draw)
        for prop in self.props:
            prop.draw(draw)
        for figure, limbs in zip(self.figures, self.limbs, strict=True):
            if limbs is not None:
                tall = figure.radius * between(*figure.squash, moment)
                limbs.draw(draw, figure.centre(moment), figure.radius, tall, moment)
            figure.draw_figure(draw, moment)
        return np.asarray(image.resize((WIDTH, HEIGHT), Image.Resampling.LANCZOS))

    def clip(self) -> Frames:
        """The whole way in FRAMES frames."""
        return np.stack([self.draw(moment) for moment in np.linspace(0, 1, FRAMES)])

    @property
    def shape(self) -> str:
        """What it shows."""
        return " and ".join(figure.shape for figure in self.figures)

    @property
    def motion(self) -> float:
        """That of the figure that gets farthest, px over one window."""
        return max(figure.motion for figure in self.figures)

    def as_lines(self, paper: Colour = PAPER) -> FigureScene:
        """The same as ink on paper, without colour."""

        def plain(scene: Scene) -> Scene:
            return replace(scene, body=paper, sky=paper, land=paper)

        return FigureScene(
            stage=plain(self.stage),
            figures=tuple(map(plain, self.figures)),
            limbs=tuple(limbs and replace(limbs, colour=paper) for limbs in self.limbs),
            props=tuple(replace(prop, colour=paper, second=paper) for prop in self.props),
        )


def random_figure_scene(rng: np.random.Generator) -> FigureScene:
    """One to three figures, each inside the picture at both ends, and up to four things that stand still."""
    stage = Scene(
        shape="ball",
        body=bright(rng),
        sky=pale(rng) if rng.random() < 0.8 else bright(rng),
        ground=str(rng.choice(("plain", "floor", "floor", "hill"))),
        land=pale(rng) if rng.random() < 0.6 else bright(rng),
        horizon=rng.uniform(0.6, 0.9) * HEIGHT,
        start=(0.0, 0.0),
        end=(0.0, 0.0),
        radius=10.0,
        squash=(1.0, 1.0),
        gaze=(0.0, 0.0),
    )
    count = int(rng.choice((1, 2, 3), p=(0.5, 0.35, 0.15)))
    figures = tuple(_random_figure(rng, stage, count) for _ in range(count))
    limbs = tuple(_random_limbs(rng, figure) if rng.random() < 0.5 else None for figure in figures)
    return FigureScene(stage, figures, limbs, tuple(_random_prop(rng) for _ in range(rng.integers(0, 5))))


def random_line_scene(rng: np.random.Generator) -> FigureScene:
    """The same as ink on white or nearly white paper."""
    grey = int(rng.integers(235, 256))
    return random_figure_scene(rng).as_lines(PAPER if rng.random() < 0.6 else (grey, grey, grey))


def _random_figure(rng: np.random.Generator, stage: Scene, count: int) -> Scene:
    radius = rng.uniform(_RADII[0], _RADII[1] if count == 1 else 13.0)
    squash = (rng.uniform(0.85, 1.15), rng.uniform(0.85, 1.15))
    tall = radius * max(squash)
    way = rng.uniform(*_TRAVEL) * radius * (1 if rng.random() < 0.85 else 0)
    x, dx = _within(rng, radius, WIDTH, way * rng.choice((-1, 1)))
    stands = stage.ground == "floor" and rng.random() < 0.5 and stage.horizon > 2 * tall + _HOP * way
    if stands:
        squash = (squash[0], squash[0])
        y, dy, bend = stage.horizon - radius * squash[0] + rng.uniform(-1, 1), 0.0, -_HOP * way
    else:
        y, dy = _within(rng, tall, HEIGHT, way * rng.uniform(-0.4, 0.4))
        bend = 0.0
    return replace(
        stage,
        shape=str(rng.choice(("ball", "box", "egg"))),
        body=bright(rng),
        start=(float(x), float(y)),
        end=(float(x + dx), float(y + dy)),
        radius=float(radius),
        squash=squash,
        gaze=(rng.uniform(-1, 1), rng.uniform(-1, 1)),
        bend=float(bend),
    )


def _within(rng: np.random.Generator, half: float, size: int, way: float) -> tuple[float, float]:
    """[start, way] along one axis, so that a figure stays at least nearly inside."""
    room = max(size - 2 * half, 0.0)
    way = float(np.clip(way, -room, room))
    return half + max(-way, 0.0) + rng.uniform(0, 1) * (room - abs(way)), way


def _random_limbs(rng: np.random.Generator, figure: Scene) -> Limbs:
    rest = np.array((-1.2, 1.2, -0.1, 0.1))
    first, last = (rest + rng.uniform(-1.0, 1.0, 4) * (1.0, 1.0, 0.5, 0.5) for _ in range(2))
    length = figure.radius * rng.uniform(0.6, 0.9)
    return Limbs(tuple(first), tuple(last), float(length), figure.body if rng.random() < 0.5 else bright(rng))


def _random_prop(rng: np.random.Generator) -> Prop:
    size = float(rng.uniform(4, 12))
    place = (float(rng.uniform(0, WIDTH)), float(rng.uniform(0, HEIGHT)))
    return Prop(str(rng.choice(_PROPS)), place, size, bright(rng) if rng.random() < 0.6 else pale(rng), bright(rng))
