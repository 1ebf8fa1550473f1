"""Where keyframes, sketches and frames sit in time.

n keyframes make S = n - 1 segments of t frames. Neighbouring segments share a keyframe, which is one frame of the
result: the result has S (t - 1) + 1 frames, and frame i is frame i mod (t - 1) of segment i // (t - 1).

A loop has one more segment, from the last keyframe back to the first: S = n, and the result ends one frame before it
would begin again, after S (t - 1) frames.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import torch
from torch import Tensor


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
    for index, hint in hints.items():
        for segment, within in _places(index, segments, frames, loop):
            placed[segment, :, within] = hint
    return placed


def place_strengths(
    strengths: Mapping[int, float], free: float, segments: int, frames: int, loop: bool = False
) -> Tensor:
    """How strongly the sketch encoder guides each frame, likewise.

    Args:
        strengths: by frame of the result.
        free: of all other frames.
        segments: S.
        frames: t.
        loop: the last segment ends at frame 0.

    Returns:
        (S, t), float32

    Raises:
        ValueError: a frame outside the result.
    """
    placed = torch.full((segments, frames), free)
    for index, strength in strengths.items():
        for place in _places(index, segments, frames, loop):
            placed[place] = strength
    return placed


def _places(index: int, segments: int, frames: int, loop: bool) -> Iterator[tuple[int, int]]:
    """Segment and frame in it of a frame of the result: one place, or two for a shared keyframe."""
    last = total_frames(segments, frames, loop) - 1
    if not 0 <= index <= last:
        raise ValueError(f"sketch at frame {index}; expected 0 to {last} for {segments} segment(s) of {frames}")
    segment, within = divmod(index, frames - 1)
    if segment < segments:
        yield segment, within
    if within == 0 and (segment > 0 or loop):
        yield segment - 1 if segment else segments - 1, frames - 1


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
