"""A figure is cut out of a plain background, whatever the background's colour does."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import Tensor

from tooncrafter_core.data.drawn_scenes import Scene
from tooncrafter_core.evaluation.scenes import picture, scenes
from tooncrafter_core.frames.matte import cut_out, key

THRESHOLDS = (6.0, 24.0)


def on(scene: Scene, colour: tuple[int, int, int]) -> Tensor:
    return picture(replace(scene, sky=colour), 0.4)


def true_alpha(scene: Scene) -> Tensor:
    """From what shows through: the difference between a white and a black background, (1, H, W)."""
    through = on(scene, (255, 255, 255)) - on(scene, (0, 0, 0))
    return (1 - through.mean(dim=0, keepdim=True)).clamp(0, 1)


@pytest.mark.parametrize("colour", [(255, 255, 255), (236, 238, 240), (90, 200, 240)])
def test_matte_of_a_drawn_figure(colour: tuple[int, int, int]) -> None:
    """On white, on white that has drifted, and on a colour; the white of the eyes is the figure's."""
    for scene in scenes(3, seed=11):
        wanted = true_alpha(scene)
        found = key(on(scene, colour)[None], *THRESHOLDS)[0]
        assert (found - wanted).abs().mean() < 0.012
        assert ((found > 0.5) != (wanted > 0.5)).float().mean() < 0.012
        assert found[wanted == 1].min() == 1


def test_edges_lose_the_background() -> None:
    """Cut out of white and put on black, the figure is nearer to one drawn on black than if white was left in."""
    for scene in scenes(3, seed=11):
        frame, wanted = on(scene, (255, 255, 255))[None], on(scene, (0, 0, 0))
        alpha = key(frame, *THRESHOLDS)
        rgba = cut_out(frame, alpha)[0]
        assert rgba.shape == (4, *wanted.shape[1:])
        error = (rgba[:3] * rgba[3:] - wanted).abs().mean()
        assert error < (frame[0] * alpha[0] - wanted).abs().mean()


def test_what_is_enclosed_stays() -> None:
    frame = torch.ones(1, 3, 12, 12)
    frame[..., 3:9, 3:9] = 0
    frame[..., 5:7, 5:7] = 1
    alpha = key(frame, *THRESHOLDS)[0, 0]
    assert (alpha[3:9, 3:9] == 1).all()
    assert alpha.sum() == 36


def test_a_large_frame_takes_few_steps_and_a_winding_way_is_walked_to_its_end() -> None:
    """Steps are as many as the way has turns, not as it has pixels."""
    frame = torch.ones(1, 3, 400, 400)
    frame[..., 1, 1:] = frame[..., 2:, 1] = frame[..., -1, 1:] = 0  # the way in is at the end of the third row
    frame[..., 2:-1, -1] = 0
    frame[..., 2, -1] = 1
    steps: list[None] = []
    alpha = key(frame, *THRESHOLDS, lambda: steps.append(None))[0, 0]
    assert torch.equal(alpha, 1 - frame[0, 0])
    assert len(steps) < 8


def test_a_blank_frame_is_all_transparent() -> None:
    assert (key(torch.full((2, 3, 8, 8), 0.7), *THRESHOLDS) == 0).all()


def test_thresholds_that_leave_nothing_between() -> None:
    with pytest.raises(ValueError, match="opaque is 4"):
        key(torch.ones(1, 3, 8, 8), 6.0, 4.0)
