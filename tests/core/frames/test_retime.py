"""Which frames are shown when: keyframes stay, counts are as promised, nothing is blended unless asked."""

from __future__ import annotations

import pytest
import torch
from benchmarks.counters import peak_bytes

from tooncrafter_core.frames.retime import (
    CURVES,
    bezier,
    distinct,
    eased,
    held,
    parse_curve,
    take,
    there_and_back,
    trimmed,
)
from tooncrafter_core.frames.spans import spans_of_frames, spans_of_latents

THREE = spans_of_frames(11, 6)
"""Three keyframes, 0, 5 and 10."""
LOOP = spans_of_frames(10, 6)
LATENTS = spans_of_latents(12, 6)


@pytest.mark.parametrize("name", CURVES)
def test_named_curves_rise_from_0_to_1(name: str) -> None:
    progress = parse_curve(name)(torch.linspace(0, 1, 101, dtype=torch.float64))
    assert progress[0] == pytest.approx(0) and progress[-1] == pytest.approx(1)
    assert (progress.diff() >= 0).all()


@pytest.mark.parametrize(("name", "slow_start", "slow_end"), [("in", 1, 0), ("out", 0, 1), ("in-out", 1, 1)])
@pytest.mark.parametrize("kind", ["sine", "cubic"])
def test_which_end_is_slow(kind: str, name: str, slow_start: int, slow_end: int) -> None:
    step = parse_curve(f"{kind} {name}")(torch.linspace(0, 1, 16, dtype=torch.float64)).diff() * 15
    assert (step[0] < 0.5) == bool(slow_start)
    assert (step[-1] < 0.5) == bool(slow_end)


def test_bezier_goes_through_its_curve() -> None:
    """At s = 1/2 of handles (0.1, 0.7) and (0.4, 0.9): x = (3 (0.1 + 0.4) + 1) / 8, y = (3 (0.7 + 0.9) + 1) / 8."""
    found = bezier(0.1, 0.7, 0.4, 0.9)(torch.tensor([0.0, 0.3125, 1.0], dtype=torch.float64))
    assert torch.allclose(found, torch.tensor([0.0, 0.725, 1.0], dtype=torch.float64))


def test_bezier_is_read_from_text() -> None:
    time = torch.linspace(0, 1, 9, dtype=torch.float64)
    assert torch.equal(parse_curve("Bezier 0.42, 0 0.58 1")(time), bezier(0.42, 0, 0.58, 1)(time))
    assert torch.allclose(parse_curve("bezier 0.3 0.3 0.6 0.6")(time), time)


@pytest.mark.parametrize(
    ("text", "words"),
    [("bouncy", "sine in-out"), ("bezier 0 1 2", "x1 y1 x2 y2"), ("bezier 0 0 1.5 1", "outside 0 to 1"), ("", "sine")],
)
def test_unreadable_curves(text: str, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        parse_curve(text)


def test_easing_keeps_keyframes_and_gives_the_length_asked_for() -> None:
    curve = CURVES["cubic in-out"]
    positions = eased(THREE, curve, 9)
    assert len(positions) == 17
    assert positions[[0, 8, 16]].tolist() == [0, 5, 10]
    assert (positions.diff() >= 0).all()
    looped = eased(LOOP, curve, 9)
    assert len(looped) == 16 and looped[[0, 8]].tolist() == [0, 5] and 9 < looped[-1] < 10
    assert eased(LATENTS, curve, 6)[[0, 5, 6, 11]].tolist() == [0, 5, 6, 11]


def test_linear_at_the_same_length_changes_nothing() -> None:
    assert eased(THREE, CURVES["linear"], 6).tolist() == pytest.approx(range(11))


def test_holds_begin_anew_at_keyframes() -> None:
    assert held(THREE, 2).tolist() == [0, 0, 2, 2, 4, 5, 5, 7, 7, 9, 10]
    assert held(LOOP, 3).tolist() == [0, 0, 0, 3, 3, 5, 5, 5, 8, 8]
    assert held(LATENTS, 2).tolist() == [0, 0, 2, 2, 4, 5, 6, 6, 8, 8, 10, 11]


def test_trimming_keeps_keyframes() -> None:
    assert trimmed(THREE, 1).tolist() == [0, 2, 3, 5, 7, 8, 10]
    assert trimmed(THREE, 0).tolist() == list(range(11))
    with pytest.raises(ValueError, match=r"leaves none of the 4 .* at most 1"):
        trimmed(THREE, 2)


def test_segments_of_their_own_lengths() -> None:
    """Of 4 and 6 frames: keyframes at 0, 3 and 8; in latents each segment has its own."""
    frames, latents = spans_of_frames(9, (4, 6)), spans_of_latents(10, (4, 6))
    assert frames.keyframes() == [0, 3, 8] and not frames.loop
    assert latents.keyframes() == [0, 3, 4, 9]
    looped = spans_of_frames(8, (4, 6))
    assert looped.keyframes() == [0, 3] and looped.loop
    assert trimmed(frames, 0).tolist() == list(range(9))
    assert trimmed(latents, 0).tolist() == list(range(10))
    assert held(frames, 2).tolist() == [0, 0, 2, 3, 3, 5, 5, 7, 8]
    assert eased(frames, CURVES["linear"], 3).tolist() == pytest.approx([0, 1.5, 3, 5.5, 8])
    with pytest.raises(ValueError, match="leaves none of the 2"):
        trimmed(frames, 1)
    with pytest.raises(ValueError, match=r"10 frames are not made of segments of 4, 6; expected 8 \+ 1 frames, or 8"):
        spans_of_frames(10, (4, 6))
    with pytest.raises(ValueError, match="9 latents are not made of segments of 4, 6"):
        spans_of_latents(9, (4, 6))


def test_there_and_back() -> None:
    assert there_and_back(4, repeat_ends=False).tolist() == [0, 1, 2, 3, 2, 1]
    assert there_and_back(3, repeat_ends=True).tolist() == [0, 1, 2, 2, 1, 0]
    assert there_and_back(1, repeat_ends=False).tolist() == [0]


def test_repeats_are_dropped_and_small_motion_is_not() -> None:
    frames = torch.full((5, 3, 32, 48), 0.5)
    frames[1] += torch.randn(3, 32, 48, generator=torch.Generator().manual_seed(0)) / 255
    frames[2:, :, 8:12, 8:12] = 0  # a spot of 4 x 4 pixels appears
    frames[4, :, 8:12, 8:12] = 1
    assert distinct(frames, threshold=2).tolist() == [0, 2, 4]
    assert distinct(frames[:, :, :4, :4], threshold=2).tolist() == [0]


def test_frames_are_picked_and_blended_only_when_asked() -> None:
    batch = torch.arange(4.0)[:, None].expand(4, 2)
    positions = torch.tensor([0.4, 0.5, 2.9, 3.75])
    assert take(batch, positions)[:, 0].tolist() == [0, 1, 3, 0]
    assert take(batch, positions, blend=True)[:, 0].tolist() == pytest.approx([0.4, 0.5, 2.9, 0.75])


def test_many_blended_frames_take_no_more_memory_than_they_hold() -> None:
    batch, positions = torch.rand(4, 3, 16, 16), torch.linspace(0, 3, 200)
    assert peak_bytes(lambda: take(batch, positions, blend=True), "cpu") < 1.1 * 200 * batch[0].nbytes


@pytest.mark.parametrize(
    ("total", "frames", "keyframes", "loop"),
    [(16, 16, [0, 15], False), (31, 16, [0, 15, 30], False), (30, 16, [0, 15], True), (7, 0, [0, 6], False)],
)
def test_segments_are_found(total: int, frames: int, keyframes: list[int], loop: bool) -> None:
    spans = spans_of_frames(total, frames)
    assert (spans.keyframes(), spans.loop) == (keyframes, loop)


def test_batches_that_are_not_made_of_segments() -> None:
    with pytest.raises(ValueError, match=r"17 frames .* segments of 16; expected n x 15 \+ 1"):
        spans_of_frames(17, 16)
    with pytest.raises(ValueError, match=r"8 frames .* segments of 16"):
        spans_of_frames(8, 16)
    with pytest.raises(ValueError, match="31 latents"):
        spans_of_latents(31, 16)
    for total, frames in ((1, 0), (5, 1)):
        with pytest.raises(ValueError, match="2 or more in a segment"):
            spans_of_frames(total, frames)
