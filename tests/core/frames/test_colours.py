"""Colour drift between keyframes is taken out, and nothing else is."""

from __future__ import annotations

import kornia
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from tooncrafter_core.evaluation.scenes import picture, scenes
from tooncrafter_core.frames.colours import match_colours
from tooncrafter_core.frames.spans import spans_of_frames

FRAMES = 16
ONE_SEGMENT = spans_of_frames(FRAMES, FRAMES)


@pytest.fixture(scope="module")
def clips() -> list[Tensor]:
    """Drawn scenes as they should be, each (FRAMES, 3, H, W)."""
    moments = [frame / (FRAMES - 1) for frame in range(FRAMES)]
    return [torch.stack([picture(scene, moment) for moment in moments]) for scene in scenes(3, seed=11)]


def tinted(clip: Tensor, tint: tuple[float, float, float]) -> Tensor:
    """The clip with a tint, in Lab, that grows to the middle and is gone at the keyframes."""
    growth = torch.sin(torch.linspace(0, torch.pi, len(clip)))[:, None, None, None]
    lab = kornia.color.rgb_to_lab(clip) + growth * torch.tensor(tint)[:, None, None]
    return kornia.color.lab_to_rgb(lab)


def levels(frames: Tensor, truth: Tensor) -> Tensor:
    return 255 * (frames - truth).abs()


@pytest.mark.parametrize("tint", [(-5.0, 0.0, 0.0), (-4.0, 3.0, 4.0)])
def test_a_tint_that_grows_to_the_middle_is_taken_out(clips: list[Tensor], tint: tuple[float, float, float]) -> None:
    """All but a twentieth of it; half of it at half the strength."""
    for clip in clips:
        drifted = tinted(clip, tint)
        before = levels(drifted, clip).mean()
        assert before > 5
        matched = match_colours(drifted, ONE_SEGMENT)
        assert levels(matched, clip).mean() < 0.05 * before
        assert torch.equal(matched[[0, -1]], drifted[[0, -1]])
        half = levels(match_colours(drifted, ONE_SEGMENT, strength=0.5), clip).mean()
        assert 0.4 * before < half < 0.6 * before


def test_a_clean_clip_stays_within_a_level(clips: list[Tensor]) -> None:
    for clip in clips:
        change = levels(match_colours(clip, ONE_SEGMENT), clip)
        assert change.mean() < 0.05
        assert change.flatten(1).quantile(0.999, dim=1).max() < 1


def test_lines_stay_as_they_are(clips: list[Tensor]) -> None:
    drifted = tinted(clips[0], (-5.0, 0.0, 0.0))
    ink = drifted[8].mean(dim=0) < 0.2
    assert ink.sum() > 20
    change = levels(match_colours(drifted, ONE_SEGMENT), drifted)[8]
    assert change[:, ink].mean() < 0.5
    assert change[:, ~ink].mean() > 5


def test_each_segment_has_its_own_drift(clips: list[Tensor]) -> None:
    """Two segments of 16 frames there and back, the second darker; the same as a loop."""
    clip = torch.cat([clips[0], clips[0].flip(0)[1:]])
    drifted = torch.cat([tinted(clip[:16], (-2.0, 0.0, 0.0)), tinted(clip[15:], (-5.0, 0.0, 0.0))[1:]])
    matched = match_colours(drifted, spans_of_frames(31, 16))
    assert levels(matched, clip).mean() < 0.5
    looped = match_colours(drifted[:-1], spans_of_frames(30, 16))
    assert levels(looped, matched[:-1]).max() < 1e-3


def test_where_nothing_stands_still_whole_pictures_are_compared() -> None:
    """A ground of soft random colours that moves by a pixel a frame: only its statistics stay."""
    small = torch.rand(1, 3, 4, 10, generator=torch.Generator().manual_seed(0)) * 0.5 + 0.25
    wide = F.interpolate(small, size=(32, 80), mode="bilinear")[0]
    clip = torch.stack([wide[:, :, frame : frame + 64] for frame in range(FRAMES)])
    drifted = tinted(clip, (-5.0, 0.0, 0.0))
    assert levels(match_colours(drifted, ONE_SEGMENT), clip).mean() < 0.2 * levels(drifted, clip).mean()


def test_segments_of_two_frames_have_nothing_between() -> None:
    frames = torch.rand(3, 3, 8, 8)
    assert torch.equal(match_colours(frames, spans_of_frames(3, 2)), frames)


@pytest.mark.parametrize("strength", ["1", None, float("nan"), -0.1, 1.5], ids=str)
def test_wrong_strengths(strength: object) -> None:
    with pytest.raises(ValueError, match=r"^strength is .*; expected 0 to 1$"):
        match_colours(torch.rand(FRAMES, 3, 8, 8), ONE_SEGMENT, strength)  # type: ignore[arg-type]
