"""Where keyframes, sketches and frames sit in time.

n keyframes make S = n - 1 segments of t frames. Neighbouring segments share a keyframe, which is one frame of the
result: the result has S (t - 1) + 1 frames, and frame i is frame i mod (t - 1) of segment i // (t - 1).

A loop has one more segment, from the last keyframe back to the first: S = n, and the result ends one frame before it
would begin again, after S (t - 1) frames.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from reprlib import repr as shortened

import torch
from torch import Tensor

_INDEX = r"\d{1,9}"
"""More digits than any result has frames."""


def segment_count(keyframes: int, loop: bool = False) -> int:
    """S."""
    return keyframes if loop else keyframes - 1


def total_frames(segments: int, frames: int, loop: bool = False) -> int:
    """Frames of the result."""
    return segments * (frames - 1) + (0 if loop else 1)


def check_segments(keyframes: int, frames: int, loop: bool = False) -> None:
    """Raise ValueError unless there is a segment (two keyframes, or one in a loop) and it has at least two frames."""
    if segment_count(keyframes, loop) < 1:
        least = "1 or more for a loop" if loop else "2 or more (1 for a loop)"
        raise ValueError(f"got {keyframes} keyframe(s); expected {least}, in the order they are shown")
    if frames < 2:
        raise ValueError(f"frames is {frames}; expected 2 or more for each segment, both keyframes included")


def segment_ends(keyframes: Tensor, loop: bool) -> Tensor:
    """What each segment begins and ends with: the keyframes (n, ...), and for a loop the first one once more."""
    return torch.cat([keyframes, keyframes[:1]]) if loop else keyframes


def keyframe_condition(latents: Tensor, frames: int) -> Tensor:
    """Condition channels: keyframes at both ends of their segment, zeros between.

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


def place_sketches(hints: Mapping[int, Tensor], segments: int, frames: int, loop: bool = False) -> Tensor:
    """Put sketches at their frames and empty (black) images at all others (SPEC section 6).

    Args:
        hints: by frame of the result: white lines on black (1, H, W), at least one. A sketch at a shared
            keyframe goes to both of its segments.
        segments: S.
        frames: t.
        loop: the last segment ends at frame 0.

    Returns:
        (S, 1, t, H, W)

    Raises:
        ValueError: a frame outside the result.
    """
    first = next(iter(hints.values()))
    placed = first.new_zeros(segments, 1, frames, *first.shape[-2:])
    last = total_frames(segments, frames, loop) - 1
    for index, hint in hints.items():
        if not 0 <= index <= last:
            raise ValueError(f"sketch at frame {index}; expected 0 to {last} for {segments} segment(s) of {frames}")
        segment, within = divmod(index, frames - 1)
        if segment < segments:
            placed[segment, :, within] = hint
        if within == 0 and (segment > 0 or loop):
            placed[segment - 1, :, -1] = hint
    return placed


def parse_frame_indices(text: str, count: int | None, total: int) -> list[int]:
    """Read frame indices such as `5, 9-11`.

    Args:
        text: indices and ranges, separated by commas; the first frame is 0, and -1 the last.
        count: number of sketches they are for; None takes any number of indices.
        total: number of frames of the result.

    Returns:
        indices, 0 to `total - 1`, in the order given

    Raises:
        ValueError: not a list of numbers, an index out of range or given twice, or another number of them.
    """
    items = filter(None, (part.strip() for part in text.split(",")))
    indices = [index for item in items for index in _parse_range(item, text, total)]
    twice = sorted({i for i in indices if indices.count(i) > 1})
    if twice:
        raise ValueError(
            f"frame index {twice[0]} is given more than once in {shortened(text)}; give each frame one sketch"
        )
    if count is not None and len(indices) != count:
        raise ValueError(
            f"{count} sketch(es) but {len(indices)} frame indices in {shortened(text)}; give one index for each sketch"
        )
    return indices


def _parse_range(item: str, text: str, total: int) -> range:
    """The indices of one item of a list: `5`, `-1` or `9-11`."""
    match = re.fullmatch(rf"(-{_INDEX})|({_INDEX})(?:\s*-\s*({_INDEX}))?", item, re.ASCII)
    if match is None:
        raise ValueError(
            f"cannot read {shortened(item)} in frame indices {shortened(text)}; expected a list such as 5, 9-11"
        )
    first = int(match[1] or match[2])
    last = int(match[3]) if match[3] else first
    if last < first:
        raise ValueError(f"range {item!r} in frame indices {shortened(text)} runs backwards; write {last}-{first}")
    for index in (first, last):
        if not -total <= index < total:
            raise ValueError(f"frame index {index} is out of range; expected 0 to {total - 1} (or -1 for the last)")
    return range(first % total, last % total + 1)


def join_segments(frames: Tensor, loop: bool = False) -> Tensor:
    """Segments' frames to the result's, each shared keyframe once (taken from the segment it begins).

    Args:
        frames: (S, c, t, H, W).
        loop: leave out the last frame, which the result begins with.

    Returns:
        (S (t - 1) + 1, c, H, W); in a loop one frame fewer
    """
    last = [] if loop else [frames[-1, :, -1:]]
    return torch.cat([*(segment[:, :-1] for segment in frames), *last], dim=1).transpose(0, 1)
