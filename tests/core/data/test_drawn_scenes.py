"""The scenes this project draws for the data set: where the figure is, and that it can be seen there."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tooncrafter_core.data import build as build_dataset
from tooncrafter_core.data.clip_format import HEIGHT, WIDTH
from tooncrafter_core.data.drawn_scenes import FRAMES, Scene, random_curved_scene, random_scene
from tooncrafter_core.training.clips.stream import ClipStream, Cut, Sample


def scene(number: int) -> Scene:
    return random_scene(np.random.default_rng(number))


@pytest.mark.parametrize("number", range(20))
def test_the_figure_is_inside_and_drawn_where_it_is(number: int) -> None:
    made = scene(number)
    for moment in (0.0, 0.4, 1.0):
        x, y = made.centre(moment)
        tall = made.radius * max(made.squash)
        assert made.radius <= x <= WIDTH - made.radius and tall <= y <= HEIGHT - tall
        colour = made.draw(moment)[round(y + 0.1 * made.radius), round(x)].astype(int)
        assert abs(colour - made.body).max() <= 8
        assert abs(colour - made.sky).max() > 40


@pytest.mark.parametrize("number", range(20))
def test_the_figure_stays_inside_on_a_curve(number: int) -> None:
    made = random_curved_scene(np.random.default_rng(number))
    tall = made.radius * max(made.squash)
    for moment in np.linspace(0, 1, FRAMES):
        x, y = made.centre(moment)
        assert made.radius <= x <= WIDTH - made.radius and tall - 2 <= y <= HEIGHT - tall + 2
    assert made.centre(0) == pytest.approx(made.start) and made.centre(1) == pytest.approx(made.end)


def test_curves_differ_in_what_their_ends_do_not_tell() -> None:
    made = [random_curved_scene(np.random.default_rng(number)) for number in range(50)]
    off = [np.hypot(*np.subtract(s.centre(0.5), np.add(s.start, s.end) / 2)) / s.radius for s in made]
    assert np.median(off) > 0.4


def test_every_scene_is_another() -> None:
    assert len({scene(number) for number in range(50)}) == 50
    assert scene(3) == scene(3)


def test_motion_is_the_way_of_one_window() -> None:
    made = scene(0)
    way = np.hypot(*np.subtract(made.centre(15 / (FRAMES - 1)), made.centre(0)))
    assert made.motion == pytest.approx(way)


def test_clips(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Written, named and read again; no scene is in both splits."""
    monkeypatch.setattr(build_dataset, "DRAWN", {("curved", "train"): 3, ("drawn", "held_out"): 2})
    (tmp_path / "clips").mkdir()
    train, held_out = (build_dataset.write_drawn(tmp_path, *key) for key in build_dataset.DRAWN)
    assert [clip.split for clip in train + held_out] == ["train"] * 3 + ["held_out"] * 2
    assert len({clip.source for clip in train + held_out}) == 5
    sample = ClipStream(train, Cut(16, WIDTH, HEIGHT), seed=0, draws=1)[0]
    assert isinstance(sample, Sample) and sample.video.float().std() > 5
