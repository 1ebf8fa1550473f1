"""Where keyframes, sketches and frames sit in time.

n keyframes make S = n - 1 segments, of t_1, ..., t_S frames; `frames` below are these counts. Neighbouring segments
share a keyframe, which is one frame of the result: the result has (t_1 - 1) + ... + (t_S - 1) + 1 frames.

A loop has one more segment, from the last keyframe back to the first: S = n, and the result ends one frame before it
would begin again.

Latents and sketches of all segments are rows of one batch, segment after segment, T = t_1 + ... + t_S of them: there a
shared keyframe comes twice, at the end of one segment and at the beginning of the next.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import accumulate, pairwise
from numbers import Integral

import torch
from torch import Tensor

from .inputs import shortened

LONGEST = 1000
"""Frames of a segment at most; what a model reaches is less, see `coarse_to_fine`."""


_WRITTEN = 8
"""Counts in a message."""


def parse_frames(frames: int | str | Sequence[int], name: str = "frames") -> tuple[int, ...]:
    """Read frames of segments: `16` for all, or one number for each: `16, 24, 12`, or a list or tuple of them.

    Args:
        frames: what is read.
        name: what the user knows it by.

    Raises:
        ValueError: neither (bytes and ranges are sequences of numbers too, but nobody means these), or a number that is
            not 2 to 1000.
    """
    items: object = frames.split(",") if isinstance(frames, str) else frames
    try:
        counts = tuple(map(_whole, items if isinstance(items, list | tuple) else [items]))
    except (TypeError, ValueError):
        counts = ()
    if not counts:
        raise ValueError(
            f"{name} is {shortened(frames)}; expected a whole number, or one for each segment such as 16, 24, 12"
        )
    if not all(2 <= count <= LONGEST for count in counts):
        expected = f"2 to {LONGEST}" if max(counts) > LONGEST else "2 or more"  # how many more is for the model to say
        raise ValueError(f"{name} is {written(counts)}; expected {expected} for each segment, both keyframes included")
    return counts


def _whole(item: object) -> int:
    """A whole number from itself or from its digits; TypeError or ValueError where it is none."""
    if isinstance(item, bool) or not isinstance(item, Integral | str):
        raise TypeError
    return int(item)


def written(frames: Sequence[int]) -> str:
    """Frames of segments as a user writes them, for messages: one number where all are equal, of many the first."""
    shown = frames[:1] if len(set(frames)) == 1 else frames[:_WRITTEN]
    return ", ".join([*map(shortened, shown), *(["..."] if len(set(frames)) > 1 and len(frames) > _WRITTEN else [])])


def segment_frames(keyframes: int, frames: int | str | Sequence[int], loop: bool = False) -> tuple[int, ...]:
    """Frames of each segment.

    Args:
        keyframes: n, two or more, or one in a loop.
        frames: see `parse_frames`.
        loop: whether the last keyframe leads back to the first.

    Raises:
        ValueError: no segment, counts for another number of segments, or what `parse_frames` refuses.
    """
    segments = keyframes if loop else keyframes - 1
    if segments < 1:
        least = "1 or more for a loop" if loop else "2 or more (1 for a loop)"
        raise ValueError(f"got {keyframes} keyframe(s); expected {least}, in the order they are shown")
    counts = parse_frames(frames)
    if len(counts) == 1:
        return counts * segments
    if len(counts) != segments:
        raise ValueError(
            f"frames has {len(counts)} numbers, but {keyframes} keyframe(s) make {segments} segment(s)"
            f"{' in a loop' if loop else ''}; expected one number for all of them, or {segments}"
        )
    return counts


def total_frames(frames: Sequence[int], loop: bool = False) -> int:
    """Frames of the result."""
    return sum(frames) - len(frames) + (0 if loop else 1)


def segment_rows(frames: Sequence[int]) -> list[range]:
    """Rows of each segment in a batch of all segments' frames."""
    return [range(start, end) for start, end in pairwise([0, *accumulate(frames)])]


def segment_ends(keyframes: Tensor, loop: bool) -> Tensor:
    """What each segment begins and ends with: the keyframes (n, ...), and for a loop the first one once more."""
    return torch.cat([keyframes, keyframes[:1]]) if loop else keyframes


def keyframe_condition(latents: Tensor, frames: int) -> Tensor:
    """Condition channels of segments of one length: keyframes at both ends, zeros between.

    Args:
        latents: scaled latents of the segments' ends (S + 1, c, h, w), see `segment_ends`.
        frames: t.

    Returns:
        (S, c, t, h, w)
    """
    segments = latents.shape[0] - 1
    condition = latents.new_zeros(segments, latents.shape[1], frames, *latents.shape[2:])
    condition[:, :, 0] = latents[:-1]
    condition[:, :, -1] = latents[1:]
    return condition


def place_sketches(hints: Mapping[int, Tensor], frames: Sequence[int], loop: bool = False) -> Tensor:
    """Put sketches at their frames and empty (black) images at all others (SPEC section 6).

    Args:
        hints: by frame of the result: white lines on black (1, H, W), at least one. A sketch at a shared
            keyframe goes to both of its segments.
        frames: of each segment.
        loop: the last segment ends at frame 0.

    Returns:
        (T, 1, H, W)

    Raises:
        ValueError: a frame outside the result.
    """
    first = next(iter(hints.values()))
    placed = first.new_zeros(sum(frames), 1, *first.shape[-2:])
    for index, hint in hints.items():
        for row in _rows(index, frames, loop):
            placed[row] = hint
    return placed


def place_strengths(strengths: Mapping[int, float], free: float, frames: Sequence[int], loop: bool = False) -> Tensor:
    """How strongly the sketch encoder guides each frame, likewise.

    Args:
        strengths: by frame of the result.
        free: of all other frames.
        frames: of each segment.
        loop: the last segment ends at frame 0.

    Returns:
        (T,), float32

    Raises:
        ValueError: a frame outside the result.
    """
    placed = torch.full((sum(frames),), free)
    for index, strength in strengths.items():
        for row in _rows(index, frames, loop):
            placed[row] = strength
    return placed


def _rows(index: int, frames: Sequence[int], loop: bool) -> Iterator[int]:
    """Rows of a frame of the result: one, or two for a shared keyframe."""
    last = total_frames(frames, loop) - 1
    if not isinstance(index, Integral) or not 0 <= index <= last:
        raise ValueError(
            f"sketch at frame {shortened(index)}; expected 0 to {last} for {len(frames)} segment(s) of "
            f"{written(frames)}"
        )
    for segment, rows in enumerate(segment_rows(frames)):
        within = index - (rows.start - segment)  # each segment before has a row more than frames of its own
        if 0 <= within < len(rows):
            yield rows[within]
    if loop and index == 0:
        yield sum(frames) - 1


def join_segments(segments: Sequence[Tensor], loop: bool = False) -> Tensor:
    """Segments' frames to the result's, each shared keyframe once (taken from the segment it begins).

    Args:
        segments: (c, t, H, W) each.
        loop: leave out the last frame, which the result begins with.

    Returns:
        frames of the result (n, c, H, W)
    """
    last = [] if loop else [segments[-1][:, -1:]]
    return torch.cat([*(segment[:, :-1] for segment in segments), *last], dim=1).transpose(0, 1)
