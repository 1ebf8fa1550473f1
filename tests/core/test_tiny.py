"""The bundled model really draws in-betweens."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor

from tooncrafter_core.data.drawn_scenes import Scene
from tooncrafter_core.evaluation.metrics import cross_dissolve, psnr
from tooncrafter_core.evaluation.scenes import SIZE, is_at, picture, scenes
from tooncrafter_core.pipeline import interpolate
from tooncrafter_core.settings import Settings
from tooncrafter_core.sketches.lines import extract_lines
from tooncrafter_core.toon_crafter import ToonCrafter

TINY = Path(__file__).parents[2] / "assets" / "tooncrafter-tiny"
SETTINGS = Settings(
    width=SIZE[0],
    height=SIZE[1],
    steps=2,
    guidance_scale=1.0,
    clean_end=True,
    frame_rate=24,
    two_pass=False,
    sketch_strength=1.0,
)
MIDDLE = 7
LONG = {31: 0, 46: 2}
"""Frames of segments longer than the model was trained for, and the scene each is drawn of."""
CASES = scenes(8, seed=0)


@pytest.fixture(scope="module")
def tiny() -> ToonCrafter:
    return ToonCrafter.load(
        TINY / "tooncrafter-tiny.safetensors", TINY / "tooncrafter-tiny-sketch.safetensors", dtype=torch.float32
    )


@pytest.fixture(scope="module")
def drawn(tiny: ToonCrafter) -> list[Tensor]:
    return [_interpolate(tiny, scene) for scene in CASES]


def _interpolate(
    tiny: ToonCrafter, scene: Scene, sketches: dict[int, Tensor] | None = None, settings: Settings = SETTINGS
) -> Tensor:
    keyframes = [picture(scene, 0), picture(scene, 1)]
    return interpolate(tiny, keyframes, settings, sketches)


def test_first_and_last_frame_are_the_keyframes(drawn: list[Tensor]) -> None:
    for scene, frames in zip(CASES, drawn, strict=True):
        assert psnr(frames[:1], picture(scene, 0)[None]) > 24
        assert psnr(frames[-1:], picture(scene, 1)[None]) > 24


def test_moving_objects_are_on_their_path(drawn: list[Tensor]) -> None:
    moment = MIDDLE / 15
    ours = sum(is_at(scene, frames[MIDDLE], moment) for scene, frames in zip(CASES, drawn, strict=True))
    dissolved = [cross_dissolve(picture(scene, 0), picture(scene, 1), 16)[MIDDLE] for scene in CASES]
    theirs = sum(is_at(scene, frame, moment) for scene, frame in zip(CASES, dissolved, strict=True))
    assert ours > theirs + len(CASES) // 2


@pytest.mark.parametrize("moment", [0.25, 0.7])
def test_a_sketch_moves_its_frame_towards_it(tiny: ToonCrafter, drawn: list[Tensor], moment: float) -> None:
    """Sketches of where half the time would not lead: a quarter of the way, and more than two thirds."""
    for scene, frames in zip(CASES[:3], drawn, strict=False):
        truth = picture(scene, moment)[None]
        sketch = 1 - extract_lines(truth)[0]
        guided = _interpolate(tiny, scene, {MIDDLE: sketch.expand(3, -1, -1)})
        assert psnr(guided[MIDDLE : MIDDLE + 1], truth) > psnr(frames[MIDDLE : MIDDLE + 1], truth) + 1


@pytest.mark.parametrize(("frames", "scene"), LONG.items())
def test_long_segments_are_as_good_as_short_ones(
    tiny: ToonCrafter, drawn: list[Tensor], frames: int, scene: int
) -> None:
    """The figure is on its path everywhere, and no frame is much farther from the truth than the trained length's: no
    noise, no second figure."""
    case = CASES[scene]
    out = _interpolate(tiny, case, settings=replace(SETTINGS, frames=frames))
    assert all(is_at(case, frame, index / (frames - 1)) for index, frame in enumerate(out))
    assert _errors(case, out).max() < 2 * _errors(case, drawn[scene]).max()


def _errors(scene: Scene, frames: Tensor) -> Tensor:
    """Mean squared error of each frame."""
    truth = torch.stack([picture(scene, index / (len(frames) - 1)) for index in range(len(frames))])
    return (frames - truth).square().flatten(1).mean(dim=1)
