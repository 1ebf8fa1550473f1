"""Some segments of a film are drawn again: what they come to is what a whole run gives, and the others stay."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor

from tooncrafter_core import Redo, Settings, ToonCrafter, interpolate
from tooncrafter_core.redo import parse_segments

SETTINGS = Settings(width=16, height=16, steps=2, frames="3, 5, 4", guidance_scale=2.0, keep_keyframes=True)
"""Results of 10 frames: segments begin at 0, 2 and 6."""


@contextmanager
def counted(tiny: ToonCrafter) -> Iterator[list[int]]:
    """Frames of each call of the U-Net."""
    calls: list[int] = []
    hook = tiny.unet.register_forward_pre_hook(lambda _, inputs: calls.append(inputs[0].shape[2]))
    try:
        yield calls
    finally:
        hook.remove()


@pytest.fixture(scope="module")
def keyframes() -> Tensor:
    return torch.rand(4, 3, 16, 16, generator=torch.Generator().manual_seed(1))


def drawn(tiny: ToonCrafter, keyframes: Tensor, settings: Settings = SETTINGS, **more: Any) -> Tensor:
    return interpolate(tiny, keyframes, settings, **more)


@pytest.mark.parametrize("eta", [0.0, 1.0])
@pytest.mark.parametrize(
    ("segments", "changed", "calls"),
    [([1], range(2, 6), [5] * 4), ([2, 0], [0, 1, 6, 7, 8, 9], [3, 4] * 4), ([2], range(6, 10), [4] * 4)],
    ids=str,
)
def test_redone_segments_are_those_of_a_whole_run(
    tiny: ToonCrafter, keyframes: Tensor, eta: float, segments: list[int], changed: list[int], calls: list[int]
) -> None:
    """Two steps with two passes each, of the chosen segments alone."""
    settings = replace(SETTINGS, eta=eta)
    before, after = (drawn(tiny, keyframes, replace(settings, seed=seed)) for seed in (0, 1))
    with counted(tiny) as made:
        redone = drawn(tiny, keyframes, replace(settings, seed=1), redo=Redo(segments, before))
    assert sorted(made) == sorted(calls)
    chosen = [frame in changed for frame in range(10)]
    expected = torch.stack([(after if new else before)[frame] for frame, new in enumerate(chosen)])
    assert torch.equal(redone, expected)
    assert not torch.equal(redone, before)


def test_the_last_segment_of_a_loop_leaves_the_first_frame(tiny: ToonCrafter, keyframes: Tensor) -> None:
    settings = replace(SETTINGS, loop=True, frames=3, steps=1, keep_keyframes=False)
    before, after = (drawn(tiny, keyframes[:2], replace(settings, seed=seed)) for seed in (0, 1))
    redone = drawn(tiny, keyframes[:2], replace(settings, seed=1), redo=Redo([1], before))
    assert torch.equal(redone, torch.cat([before[:2], after[2:]]))


def test_a_segment_beside_a_long_one(tiny: ToonCrafter, keyframes: Tensor) -> None:
    """What is not drawn takes its share of the noise all the same."""
    settings = replace(SETTINGS, frames=(17, 3), guidance_scale=1, keep_keyframes=False)
    before, after = (drawn(tiny, keyframes[:3], replace(settings, seed=seed)) for seed in (0, 1))
    with counted(tiny) as made:
        last = drawn(tiny, keyframes[:3], replace(settings, seed=1), redo=Redo([1], before))
    assert made == [3, 3]
    assert torch.equal(last, torch.cat([before[:16], after[16:]]))
    first = drawn(tiny, keyframes[:3], replace(settings, seed=1), redo=Redo([0], before))
    assert torch.equal(first, torch.cat([after[:16], before[16:]]))


@pytest.mark.parametrize(
    ("redo", "message"),
    [
        (Redo([3], torch.rand(10, 3, 16, 16)), r"segments \[3\]; expected one or more of 0 to 2"),
        (Redo([], torch.rand(10, 3, 16, 16)), "expected one or more"),
        (Redo([1], torch.rand(9, 3, 16, 16)), r"\(9, 3, 16, 16\); expected \(10, 3, 16, 16\)"),
    ],
    ids=["another segment", "no segment", "another result"],
)
def test_what_does_not_fit_is_refused_before_anything_runs(
    tiny: ToonCrafter, keyframes: Tensor, redo: Redo, message: str
) -> None:
    with counted(tiny) as made, pytest.raises(ValueError, match=message):
        drawn(tiny, keyframes, redo=redo)
    assert not made


def test_segments_are_read() -> None:
    assert parse_segments("", 3) == parse_segments(" ", 3) == [0, 1, 2]
    assert parse_segments("2", 3) == [1]
    assert parse_segments("3, 1,3", 3) == [0, 2]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("4", "segments names 4; expected 1 to 3"),
        ("1, 0", "segments names 0"),
        ("1-2", "segments is '1-2'; expected numbers such as 2 or 1, 3"),
        ("1,", "segments is '1,'"),
        ("9" * 5000, "segments is"),
    ],
)
def test_segments_that_cannot_be_read(text: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        parse_segments(text, 3)
