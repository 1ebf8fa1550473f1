"""Draws some segments of a film again and keeps the others."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from numbers import Integral

from torch import Tensor

from .files.images import check_values
from .inputs import check_kind, shortened
from .timeline import total_frames


def parse_segments(text: str, segments: int) -> list[int]:
    """Read which segments to draw again, such as `2` or `1, 3`; the first one is 1, and empty is all.

    Args:
        text: numbers separated by commas.
        segments: how many there are.

    Returns:
        indices from 0, rising

    Raises:
        ValueError: not such a list, or a segment that is not there.
    """
    items = [item.strip() for item in text.split(",")] if text.strip() else []
    if not all(re.fullmatch(r"\d{1,9}", item, re.ASCII) for item in items):
        raise ValueError(f"segments is {shortened(text)}; expected numbers such as 2 or 1, 3, or nothing for all")
    outside = [item for item in items if not 1 <= int(item) <= segments]
    if outside:
        raise ValueError(f"segments names {outside[0]}; expected 1 to {segments}, or nothing for all")
    return sorted({int(item) - 1 for item in items}) or list(range(segments))


@dataclass(frozen=True)
class Redo:
    """Which segments to draw again, and where the others come from.

    Attributes:
        segments: numbers of segments, the first one is 0.
        frames: an earlier result (n, 3, height, width) of the same keyframes, counts and size.
    """

    segments: Sequence[int]
    frames: Tensor

    def check(self, counts: Sequence[int], loop: bool, width: int, height: int) -> None:
        """Raise ValueError unless segments and frames are those of segments of these lengths."""
        check_kind(self.segments, Sequence, "redo's segments", "a list of numbers")
        there = range(len(counts))
        if not self.segments or not all(isinstance(each, Integral) and each in there for each in self.segments):
            raise ValueError(
                f"redo names segments {shortened(self.segments)}; expected one or more of 0 to {len(counts) - 1}"
            )
        check_kind(self.frames, Tensor, "redo's frames", "an earlier result (n, 3, height, width)")
        expected = total_frames(counts, loop), 3, height, width
        if tuple(self.frames.shape) != expected:
            raise ValueError(
                f"redo has frames of shape {tuple(self.frames.shape)}; expected {expected}, the result of the same "
                "keyframes, frames and size"
            )
        check_values(self.frames, "redo's frames", "frames")

    def joined(self, drawn: Mapping[int, Tensor], counts: Sequence[int], loop: bool) -> Tensor:
        """The earlier result with the segments that were drawn again.

        Args:
            drawn: their frames (3, t, H, W) by number; a keyframe between two segments is of the one it begins.
            counts: frames of each segment of the film.
            loop: the last segment ends at the first frame.
        """
        result = self.frames.clone()
        for segment, frames in drawn.items():
            start = sum(counts[:segment]) - segment
            kept = counts[segment] - (0 if segment == len(counts) - 1 and not loop else 1)
            result[start : start + kept] = frames[:, :kept].transpose(0, 1)
        return result
