"""Keyframes, sketches and frames are where they belong in time."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from tooncrafter_core.timeline import (
    join_segments,
    keyframe_condition,
    place_sketches,
    place_strengths,
    segment_ends,
    segment_frames,
    segment_rows,
    total_frames,
    written,
)


@pytest.mark.parametrize(("frames", "expected"), [([16], 16), ([16, 16], 31), ([2, 2, 2], 4), ([16, 24, 12], 50)])
def test_total_frames(frames: list[int], expected: int) -> None:
    assert total_frames(frames) == expected
    assert total_frames(frames, loop=True) == expected - 1


@pytest.mark.parametrize("frames", [16, "16", " 16 ", [16], (16, 16, 16), "16,16, 16"])
def test_one_count_is_for_all_segments(frames: Any) -> None:
    assert segment_frames(4, frames) == segment_frames(3, frames, loop=True) == (16, 16, 16)


def test_a_count_for_each_segment() -> None:
    assert segment_frames(4, "16, 24, 12") == (16, 24, 12)
    assert segment_rows((16, 24, 12)) == [range(16), range(16, 40), range(40, 52)]


@pytest.mark.parametrize(
    ("keyframes", "frames", "message"),
    [
        (1, 16, "got 1 keyframe"),
        (0, 16, "got 0 keyframe"),
        (2, 1, "frames is 1; expected 2 or more for each segment"),
        (3, "16, 1", "frames is 16, 1; expected 2 or more"),
        (4, "16, 24", r"frames has 2 numbers, but 4 keyframe\(s\) make 3 segment\(s\); .* for all of them, or 3"),
        (3, "16 24", "frames is '16 24'; expected a whole number"),
        (3, "", "frames is ''; expected a whole number"),
        (3, "16,", "expected a whole number"),
        (3, 16.0, "frames is 16.0; expected a whole number"),
        (3, [], "expected a whole number"),
        (3, "9" * 5000, "expected a whole number"),
    ],
    ids=str,
)
def test_keyframes_and_frames_that_make_no_segments(keyframes: int, frames: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        segment_frames(keyframes, frames)


def test_a_loop_has_a_segment_more() -> None:
    with pytest.raises(ValueError, match=r"frames has 2 numbers, but 3 keyframe\(s\) make 3 segment\(s\) in a loop"):
        segment_frames(3, "16, 24", loop=True)


def test_counts_in_messages() -> None:
    assert written([16, 16]) == "16" and written([16, 24]) == "16, 24"
    assert written(range(2, 20)) == "2, 3, 4, 5, 6, 7, 8, 9, ..."


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


def placed(*indices: int, loop: bool = False, frames: tuple[int, ...] = (5, 5)) -> dict[tuple[int, int], float]:
    """(segment, frame) -> value, of every frame that is not black."""
    hints = place_sketches({index: drawing(index + 1) for index in indices}, frames, loop)
    assert hints.shape == (sum(frames), 1, 4, 6)
    rows = enumerate(segment_rows(frames))
    values = {(segment, row - own.start): hints[row, 0] for segment, own in rows for row in own}
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


def test_sketches_in_segments_of_their_own_lengths() -> None:
    """Segments of 3, 6 and 2 frames begin at frames 0, 2 and 7; the result ends at 8, or with 7 in a loop."""
    assert placed(1, 2, 6, 7, 8, frames=(3, 6, 2)) == {
        (0, 1): 2,
        (0, 2): 3,
        (1, 0): 3,
        (1, 4): 7,
        (1, 5): 8,
        (2, 0): 8,
        (2, 1): 9,
    }
    assert placed(0, loop=True, frames=(3, 6, 2)) == {(0, 0): 1, (2, 1): 1}
    with pytest.raises(ValueError, match=r"frame 9; expected 0 to 8 for 3 segment\(s\) of 3, 6, 2"):
        placed(9, frames=(3, 6, 2))


def test_strengths_stand_where_their_sketches_do() -> None:
    placed = place_strengths({4: 1.5, 6: 0.0}, 0.5, [5, 5])
    assert placed.tolist() == [0.5, 0.5, 0.5, 0.5, 1.5, 1.5, 0.5, 0.0, 0.5, 0.5]
    loop = place_strengths({0: 1.5}, 0.5, [5, 5], loop=True)
    assert loop[0] == loop[9] == 1.5 and (loop == 0.5).sum() == 8
    with pytest.raises(ValueError, match="frame 9; expected 0 to 8"):
        place_strengths({9: 1.0}, 0.5, [5, 5])


@pytest.mark.parametrize("index", [-1, 9])
def test_a_sketch_outside(index: int) -> None:
    with pytest.raises(ValueError, match=f"frame {index}; expected 0 to 8 for 2 segment"):
        place_sketches({index: drawing(1)}, [5, 5])


def test_joined_segments_have_every_shared_keyframe_once() -> None:
    frames = torch.arange(15.0).view(3, 1, 5, 1, 1).expand(3, 2, 5, 3, 4)
    joined = join_segments(list(frames))
    assert joined.shape == (total_frames([5] * 3), 2, 3, 4)
    assert joined[:, 0, 0, 0].tolist() == [0, 1, 2, 3, 5, 6, 7, 8, 10, 11, 12, 13, 14]


def test_segments_of_their_own_lengths_are_joined() -> None:
    segments = [torch.arange(first, first + count).view(1, count, 1, 1) for first, count in ((0, 3), (10, 2), (20, 4))]
    assert join_segments(segments).flatten().tolist() == [0, 1, 10, 20, 21, 22, 23]
    assert join_segments(segments, loop=True).flatten().tolist() == [0, 1, 10, 20, 21, 22]


def test_a_joined_loop_does_not_repeat_its_first_frame() -> None:
    frames = torch.arange(10.0).view(2, 1, 5, 1, 1)
    assert join_segments(list(frames), loop=True).flatten().tolist() == [0, 1, 2, 3, 5, 6, 7, 8]


def test_one_segment_is_joined_to_itself() -> None:
    frames = torch.randn(1, 3, 4, 2, 2)
    assert torch.equal(join_segments(list(frames)), frames[0].transpose(0, 1))
