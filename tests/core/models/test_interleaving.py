"""Groups of frames of a long segment: all frames, both ends in each, evenly spread."""

from __future__ import annotations

import pytest

from tooncrafter_core.models.vae.interleaving import TRAINED, interleaved


def test_every_frame_is_in_a_group_with_both_ends() -> None:
    for frames in range(2, 227):
        groups = interleaved(frames)
        assert sorted({frame for group in groups for frame in group}) == list(range(frames))
        assert sum(map(len, groups)) == frames + 2 * (len(groups) - 1)
        assert all({0, frames - 1} <= set(group) and len(group) <= TRAINED for group in groups)
        assert all(group == sorted(group) for group in groups)


@pytest.mark.parametrize(("frames", "groups"), [(16, 1), (17, 2), (30, 2), (31, 3), (226, 16)])
def test_no_more_groups_than_needed(frames: int, groups: int) -> None:
    assert len(interleaved(frames)) == groups


def test_between_the_ends_frames_are_as_far_apart_as_there_are_groups() -> None:
    assert interleaved(31) == [
        [0, 1, 4, 7, 10, 13, 16, 19, 22, 25, 28, 30],
        [0, 2, 5, 8, 11, 14, 17, 20, 23, 26, 29, 30],
        [0, 3, 6, 9, 12, 15, 18, 21, 24, 27, 30],
    ]
