"""Keyframes, sketches and frames are where they belong in time."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from tooncrafter_core.timeline import (
    check_segments,
    join_segments,
    keyframe_condition,
    place_sketches,
    place_strengths,
    segment_count,
    segment_ends,
    total_frames,
)


@pytest.mark.parametrize(("segments", "frames", "expected"), [(1, 16, 16), (2, 16, 31), (3, 2, 4)])
def test_total_frames(segments: int, frames: int, expected: int) -> None:
    assert total_frames(segments, frames) == expected


@pytest.mark.parametrize(("keyframes", "frames", "expected"), [(1, 16, 15), (2, 16, 30), (3, 2, 3), (1, 2, 1)])
def test_total_frames_of_a_loop(keyframes: int, frames: int, expected: int) -> None:
    check_segments(keyframes, frames, loop=True)
    assert segment_count(keyframes, loop=True) == keyframes
    assert total_frames(keyframes, frames, loop=True) == expected


@pytest.mark.parametrize(("keyframes", "frames", "message"), [(1, 16, "got 1 keyframe"), (0, 16, "0"), (2, 1, "is 1")])
def test_too_few_keyframes_or_frames(keyframes: int, frames: int, message: str) -> None:
    check_segments(2, 2)
    with pytest.raises(ValueError, match=message):
        check_segments(keyframes, frames)


def test_keyframes_stand_at_both_ends_of_their_segments() -> None:
    latents = torch.randn(3, 4, 2, 5)
    condition = keyframe_condition(latents, 6)
    assert condition.shape == (2, 4, 6, 2, 5)
    assert torch.equal(condition[:, :, 0], latents[:-1])
    assert torch.equal(condition[:, :, -1], latents[1:])
    assert condition[:, :, 1:-1].count_nonzero() == 0


def test_a_loop_ends_with_its_first_keyframe() -> None:
    latents = torch.randn(3, 4, 2, 5)
    assert torch.equal(segment_ends(latents, loop=True), latents[[0, 1, 2, 0]])
    assert segment_ends(latents, loop=False) is latents


def drawing(value: float) -> Tensor:
    return torch.full((1, 4, 6), value)


def placed(*indices: int, loop: bool = False) -> dict[tuple[int, int], float]:
    """(segment, frame) -> value, of every frame that is not black; two segments of five frames."""
    hints = place_sketches({index: drawing(index + 1) for index in indices}, 2, 5, loop)
    assert hints.shape == (2, 1, 5, 4, 6)
    values = {(s, f): hints[s, 0, f] for s in range(2) for f in range(5)}
    assert all((value == value[0, 0]).all() for value in values.values())
    return {where: value[0, 0].item() for where, value in values.items() if value.any()}


def test_sketches_inside_segments() -> None:
    assert placed(1, 6) == {(0, 1): 2, (1, 2): 7}


def test_a_sketch_at_a_shared_keyframe_is_in_both_segments() -> None:
    assert placed(4) == {(0, 4): 5, (1, 0): 5}


def test_sketches_at_the_ends() -> None:
    assert placed(0, 8) == {(0, 0): 1, (1, 4): 9}


def test_a_sketch_at_the_first_frame_of_a_loop_is_at_its_end_too() -> None:
    assert placed(0, 4, 7, loop=True) == {(0, 0): 1, (1, 4): 1, (0, 4): 5, (1, 0): 5, (1, 3): 8}
    with pytest.raises(ValueError, match="frame 8; expected 0 to 7"):
        placed(8, loop=True)


def test_strengths_stand_where_their_sketches_do() -> None:
    placed = place_strengths({4: 1.5, 6: 0.0}, 0.5, 2, 5)
    assert placed.tolist() == [[0.5, 0.5, 0.5, 0.5, 1.5], [1.5, 0.5, 0.0, 0.5, 0.5]]
    loop = place_strengths({0: 1.5}, 0.5, 2, 5, loop=True)
    assert loop[0, 0] == loop[1, 4] == 1.5 and (loop == 0.5).sum() == 8
    with pytest.raises(ValueError, match="frame 9; expected 0 to 8"):
        place_strengths({9: 1.0}, 0.5, 2, 5)


@pytest.mark.parametrize("index", [-1, 9])
def test_a_sketch_outside(index: int) -> None:
    with pytest.raises(ValueError, match=f"frame {index}; expected 0 to 8 for 2 segment"):
        place_sketches({index: drawing(1)}, 2, 5)


def test_joined_segments_have_every_shared_keyframe_once() -> None:
    frames = torch.arange(15.0).view(3, 1, 5, 1, 1).expand(3, 2, 5, 3, 4)
    joined = join_segments(frames)
    assert joined.shape == (total_frames(3, 5), 2, 3, 4)
    assert joined[:, 0, 0, 0].tolist() == [0, 1, 2, 3, 5, 6, 7, 8, 10, 11, 12, 13, 14]


def test_a_joined_loop_does_not_repeat_its_first_frame() -> None:
    frames = torch.arange(10.0).view(2, 1, 5, 1, 1)
    assert join_segments(frames, loop=True).flatten().tolist() == [0, 1, 2, 3, 5, 6, 7, 8]


def test_one_segment_is_joined_to_itself() -> None:
    frames = torch.randn(1, 3, 4, 2, 2)
    assert torch.equal(join_segments(frames), frames[0].transpose(0, 1))
