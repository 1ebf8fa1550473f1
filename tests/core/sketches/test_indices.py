"""Which frames sketches are for, and how strongly they guide, from text."""

from __future__ import annotations

import time

import pytest

from tooncrafter_core.sketches.guided_frames import bisection
from tooncrafter_core.sketches.indices import parse_frame_indices, parse_strengths


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", []),
        ("0", [0]),
        ("5, 9-11", [5, 9, 10, 11]),
        ("11,5", [11, 5]),
        (" 3 - 5 ,", [3, 4, 5]),
        ("7-7", [7]),
        ("-1", [15]),
        ("0, -1, -2", [0, 15, 14]),
        ("-16", [0]),
        ("0%, 50 %, 100%", [0, 7, 15]),
        ("33.3%", [5]),
        ("bisect:1", [7]),
        ("bisect:2", [3, 7, 11]),
        ("0, bisect : 2", [0, 3, 7, 11]),
        ("bisect:999999999", list(range(1, 15))),
        ("every:4", [0, 4, 8, 12]),
        ("every:99, -1", [0, 15]),
    ],
)
def test_frame_indices(text: str, expected: list[int]) -> None:
    assert parse_frame_indices(text, len(expected), 16) == expected
    assert parse_frame_indices(text, None, 16) == expected


@pytest.mark.parametrize(
    ("text", "count", "message"),
    [
        ("a", 1, "cannot read 'a'"),
        ("1;2", 2, "cannot read '1;2'"),
        ("1 2", 2, "cannot read '1 2'"),
        ("1.5", 1, "cannot read '1.5'"),
        ("1-", 1, "cannot read '1-'"),
        ("x" * 5000, 1, r"cannot read 'x+\.\.\.x+' in frame indices 'x+\.\.\.x+'; expected"),
        ("-3--1", 3, "cannot read '-3--1'"),
        ("9-5", 1, "runs backwards; write 5-9"),
        ("16", 1, "16 is out of range; expected 0 to 15"),
        ("-17", 1, "-17 is out of range"),
        ("9" * 5000, 1, "cannot read"),
        ("-" + "9" * 5000, 1, "cannot read"),
        ("3-1" + "0" * 5000, 1, "cannot read"),
        ("14-16", 3, "16 is out of range"),
        ("1, 0-2", 4, "1 is given more than once"),
        ("0, -16", 2, "0 is given more than once"),
        ("", 1, "1 sketch.* but 0 frame indices"),
        ("101%", 1, "101% is behind the end; expected 0% to 100%"),
        ("50%, 7", 2, "7 is given more than once"),
        ("7.5", 1, "cannot read '7.5'"),
        ("every:0", 1, "every:0 has a step of 0; expected every:1"),
        ("bisect:0", 1, "depth 0; expected 1 or more"),
        ("bisect", 1, "cannot read 'bisect'"),
        ("bisect:-1", 1, "cannot read 'bisect:-1'"),
        ("1, 2", 1, "1 sketch.* but 2 frame indices"),
        ("1", 3, "3 sketch.* but 1 frame indices"),
    ],
)
def test_bad_frame_indices(text: str, count: int, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        parse_frame_indices(text, count, 16)


def test_a_huge_range_is_refused_at_once() -> None:
    start = time.perf_counter()
    with pytest.raises(ValueError, match="out of range"):
        parse_frame_indices("0-2000000", 1, 16)
    assert time.perf_counter() - start < 0.02


def test_many_repeated_indices_are_refused_at_once() -> None:
    start = time.perf_counter()
    with pytest.raises(ValueError, match="frame index 0 is given more than once"):
        parse_frame_indices("0-15, " * 2000, None, 16)
    assert time.perf_counter() - start < 0.5


@pytest.mark.parametrize("total", [31, 30], ids=["chain", "loop"])
def test_every_segment_is_bisected(total: int) -> None:
    inside = bisection(16, 2)
    assert parse_frame_indices("bisect:2", 6, total, [16, 16]) == [*inside, *(15 + frame for frame in inside)]


def test_segments_are_bisected_by_their_own_lengths() -> None:
    """Of 5, 9 and 3 frames, which begin at 0, 4 and 12."""
    assert parse_frame_indices("bisect:2", None, 15, [5, 9, 3]) == [1, 2, 3, 6, 8, 10, 13]


def test_a_segment_without_frames_inside_cannot_be_bisected() -> None:
    with pytest.raises(ValueError, match="none between its keyframes"):
        parse_frame_indices("bisect:1", None, 3, [2, 2])


@pytest.mark.parametrize(
    ("text", "expected"),
    [("", None), (" , ", None), ("0.5", [0.5] * 3), ("0, 2,1e-1", [0.0, 2.0, 0.1])],
)
def test_strengths(text: str, expected: list[float] | None) -> None:
    assert parse_strengths(text, 3, 2) == expected


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("strong", "cannot read 'strong' as a sketch's strength; expected a number from 0 to 2"),
        ("nan", "cannot read 'nan'"),
        ("inf, 1, 1", "cannot read 'inf'"),
        ("-0.1", "cannot read '-0.1'"),
        ("2.5", "a number from 0 to 2"),
        ("1, 1", "3 sketch.* but 2 strengths in '1, 1'; expected one for each"),
    ],
)
def test_bad_strengths(text: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        parse_strengths(text, 3, 2)
