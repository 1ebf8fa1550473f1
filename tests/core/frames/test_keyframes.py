"""Keyframes come out as they were drawn, and the frames beside them do not jump."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import Tensor

from tooncrafter_core import Settings, ToonCrafter, interpolate
from tooncrafter_core.frames.keyframes import HAND_OVER, keep_keyframes


def decoded_badly(clip: Tensor) -> Tensor:
    """Frames (t, 3, H, W) darker, and wrong in fine detail that is the same in all of them."""
    detail = 0.02 * torch.randn(clip.shape[1:], generator=torch.Generator().manual_seed(0))
    return clip - 0.04 + detail


def largest_jump(frames: Tensor) -> Tensor:
    return frames.diff(dim=0).square().mean(dim=(1, 2, 3)).sqrt().max()


@pytest.fixture
def clip() -> Tensor:
    """A smooth ground that brightens by 1/100 a frame: (20, 3, 16, 24)."""
    ground = torch.linspace(0.3, 0.5, 24).expand(3, 16, 24)
    return torch.stack([ground + frame / 100 for frame in range(20)])


def kept(frames: Tensor, first: Tensor, last: Tensor) -> Tensor:
    return keep_keyframes(frames.transpose(0, 1), torch.stack([first, last])).transpose(0, 1)


def test_keyframes_are_exact_and_nothing_jumps(clip: Tensor) -> None:
    decoded = decoded_badly(clip)
    frames = kept(decoded, clip[0], clip[-1])
    assert torch.equal(frames[[0, -1]], clip[[0, -1]])
    pasted = torch.cat([clip[:1], decoded[1:-1], clip[-1:]])
    assert largest_jump(frames) < 1.6 * largest_jump(clip)
    assert largest_jump(pasted) > 3 * largest_jump(clip)
    assert torch.equal(frames[HAND_OVER:-HAND_OVER], decoded[HAND_OVER:-HAND_OVER])


def test_frames_beside_a_keyframe_come_nearer_to_the_truth(clip: Tensor) -> None:
    decoded = decoded_badly(clip)
    error, before = ((f - clip).abs().mean(dim=(1, 2, 3)) for f in (kept(decoded, clip[0], clip[-1]), decoded))
    assert (error[:HAND_OVER] < before[:HAND_OVER]).all()
    assert (error[:HAND_OVER].diff() > 0).all()


@pytest.mark.parametrize("count", [2, 3, 5])
def test_short_segments(clip: Tensor, count: int) -> None:
    frames = kept(decoded_badly(clip[:count]), clip[0], clip[count - 1])
    assert torch.equal(frames[[0, -1]], clip[[0, count - 1]])


def test_perfect_decoding_changes_nothing(clip: Tensor) -> None:
    assert torch.equal(kept(clip, clip[0], clip[-1]), clip)


@pytest.mark.parametrize("loop", [False, True])
def test_an_interpolation_shows_its_keyframes(tiny: ToonCrafter, loop: bool) -> None:
    keyframes = torch.rand(2, 3, 18, 26, generator=torch.Generator().manual_seed(3))
    settings = Settings(width=26, height=18, loop=loop, steps=1, frames=4, guidance_scale=1.0)
    plain, frames = (interpolate(tiny, keyframes, replace(settings, keep_keyframes=keep)) for keep in (False, True))
    assert torch.equal(frames[[0, 3]], keyframes)
    assert not torch.equal(plain[0], keyframes[0])
    assert frames.shape == plain.shape
