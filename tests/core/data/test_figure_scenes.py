"""The richer scenes: what stands still does, figures move and hop, and line scenes have lines and no colour."""

from __future__ import annotations

import numpy as np
import pytest

from tooncrafter_core.data.clip_format import HEIGHT, WIDTH
from tooncrafter_core.data.figure_scenes import FigureScene, random_figure_scene, random_line_scene


def scene(number: int) -> FigureScene:
    return random_figure_scene(np.random.default_rng(number))


@pytest.mark.parametrize("number", range(10))
def test_figures_are_inside_at_both_ends(number: int) -> None:
    made = scene(number)
    assert 1 <= len(made.figures) <= 3 and len(made.limbs) == len(made.figures)
    for figure in made.figures:
        for moment in (0.0, 1.0):
            x, y = figure.centre(moment)
            assert figure.radius - 1e-6 <= x <= WIDTH - figure.radius + 1e-6
            assert 0 < y < HEIGHT


def test_only_figures_move() -> None:
    """Pixels far from every figure's way are the same in all frames."""
    made = scene(1)
    frames = made.clip().astype(int)
    rows, columns = np.mgrid[:HEIGHT, :WIDTH]
    near = np.zeros((HEIGHT, WIDTH), bool)
    for figure in made.figures:
        for moment in np.linspace(0, 1, 40):
            x, y = figure.centre(moment)
            near |= np.hypot(columns - x, rows - y) < 2.4 * figure.radius + 4
    assert not near.all()
    assert np.ptp(frames, axis=0)[~near].max() == 0
    assert np.ptp(frames, axis=0)[near].max() > 40


def test_who_stands_on_the_ground_at_both_ends_hops() -> None:
    hops = [f for n in range(60) for f in scene(n).figures if f.bend]
    assert len(hops) > 5
    for figure in hops:
        assert figure.bend < 0 and figure.start[1] == figure.end[1]
        assert figure.centre(0.5)[1] < figure.start[1]
        assert figure.horizon - figure.start[1] == pytest.approx(figure.radius * figure.squash[0], abs=1.01)


def test_lines_are_ink_on_paper() -> None:
    for number in range(5):
        frame = random_line_scene(np.random.default_rng(number)).draw(0.5).astype(int)
        assert np.median(frame) >= 235
        assert frame.min() < 80, "no line"
        assert np.ptp(frame, axis=-1).max() < 30, "the ink's own tinge at most"


def test_every_scene_is_another_and_the_same_again() -> None:
    pictures = [scene(number).draw(0.3).tobytes() for number in range(20)]
    assert len(set(pictures)) == 20
    assert scene(4).draw(0.3).tobytes() == pictures[4]
