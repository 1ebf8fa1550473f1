"""The bundled model with its LoRA: four steps of one pass, with and without a sketch."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor

from tooncrafter_core.data.drawn_scenes import Scene
from tooncrafter_core.evaluation.metrics import psnr
from tooncrafter_core.evaluation.scenes import SIZE, is_at, picture, scenes
from tooncrafter_core.pipeline import interpolate
from tooncrafter_core.settings import Settings
from tooncrafter_core.sketches.lines import extract_lines
from tooncrafter_core.toon_crafter import ToonCrafter
from tooncrafter_core.training.run.low_rank import merge, read_lora

TINY = Path(__file__).parents[2] / "assets" / "tooncrafter-tiny"
SETTINGS = Settings(
    width=SIZE[0],
    height=SIZE[1],
    steps=4,
    guidance_scale=1.0,
    clean_end=True,
    eta=0.0,
    frame_rate=24,
    two_pass=False,
    sketch_strength=1.0,
)
MIDDLE = 7
CASES = scenes(4, seed=0)


def load() -> ToonCrafter:
    return ToonCrafter.load(
        TINY / "tooncrafter-tiny.safetensors", TINY / "tooncrafter-tiny-sketch.safetensors", dtype=torch.float32
    )


@pytest.fixture(scope="module")
def distilled() -> ToonCrafter:
    model = load()
    merge(model.unet, read_lora(TINY / "loras" / "tooncrafter-tiny-4steps.safetensors"))
    return model


@pytest.fixture(scope="module")
def drawn(distilled: ToonCrafter) -> list[Tensor]:
    return [_interpolate(distilled, scene) for scene in CASES]


def _interpolate(
    model: ToonCrafter, scene: Scene, sketches: dict[int, Tensor] | None = None, settings: Settings = SETTINGS
) -> Tensor:
    keyframes = [picture(scene, 0), picture(scene, 1)]
    return interpolate(model, keyframes, settings, sketches)


def _between(scene: Scene, frames: Tensor) -> float:
    """PSNR of the frames between the keyframes, dB."""
    truth = torch.stack([picture(scene, index / (len(frames) - 1)) for index in range(len(frames))])
    return psnr(frames[1:-1], truth[1:-1])


def test_four_steps_are_as_near_to_the_truth_as_many_without_it(drawn: list[Tensor]) -> None:
    plain, many = load(), replace(SETTINGS, steps=12)
    losses = [
        _between(scene, _interpolate(plain, scene, settings=many)) - _between(scene, frames)
        for scene, frames in zip(CASES[:2], drawn, strict=False)
    ]
    assert sum(losses) / len(losses) < 0.5, losses


def test_moving_objects_are_on_their_path(drawn: list[Tensor]) -> None:
    assert all(is_at(scene, frames[MIDDLE], MIDDLE / 15) for scene, frames in zip(CASES, drawn, strict=True))


def test_a_sketch_moves_its_frame_towards_it(distilled: ToonCrafter, drawn: list[Tensor]) -> None:
    """The sketch encoder was trained with the model as it was."""
    for scene, frames in zip(CASES[:2], drawn, strict=False):
        truth = picture(scene, 0.25)[None]
        sketch = 1 - extract_lines(truth)[0]
        guided = _interpolate(distilled, scene, {MIDDLE: sketch.expand(3, -1, -1)})
        assert psnr(guided[MIDDLE : MIDDLE + 1], truth) > psnr(frames[MIDDLE : MIDDLE + 1], truth) + 1
