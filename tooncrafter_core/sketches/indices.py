"""Which frames sketches are for, and how strongly each of them guides, as a user writes it."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import accumulate

from ..inputs import shortened
from .guided_frames import bisection

_NUMBER = r"\d{1,9}"
"""More digits than any result has frames."""
_RANGE = re.compile(rf"(-{_NUMBER})|({_NUMBER})(?:\s*-\s*({_NUMBER}))?", re.ASCII)
_PERCENT = re.compile(r"(\d{1,3}(?:\.\d{1,6})?)\s*%", re.ASCII)
_PATTERN = re.compile(rf"(bisect|every)\s*:\s*({_NUMBER})", re.ASCII)


def parse_frame_indices(
    text: str, count: int | None, total: int, per_segment: Sequence[int] | None = None
) -> list[int]:
    """Read frame indices such as `5, 9-11, -1, 50%, bisect:2`.

    Args:
        text: separated by commas: indices and ranges, of which the first frame is 0 and -1 the last; a share of the way
            from the first frame to the last, at the nearest frame (the earlier of two); `bisect:2`, the frames between
            the keyframes that so many bisections of each segment reach, see `bisection`; `every:4`, each fourth frame
            from the first on.
        count: number of sketches they are for; None takes any number of indices.
        total: number of frames of the result.
        per_segment: frames of each segment, both keyframes included; None is one segment of all frames.

    Returns:
        indices, 0 to `total - 1`, in the order given

    Raises:
        ValueError: not such a list, an index out of range or given twice, or another number of them.
    """
    clip = _Clip(text, total, per_segment or [total])
    items = filter(None, (part.strip() for part in text.split(",")))
    indices = [index for item in items for index in clip.parse(item)]
    twice = sorted(i for i, times in Counter(indices).items() if times > 1)
    if twice:
        raise ValueError(
            f"frame index {twice[0]} is given more than once in {shortened(text)}; give each frame one sketch"
        )
    if count is not None and len(indices) != count:
        raise ValueError(
            f"{count} sketch(es) but {len(indices)} frame indices in {shortened(text)}; give one index for each sketch"
        )
    return indices


def parse_strengths(text: str, count: int, most: float) -> list[float] | None:
    """Read strengths such as `0.8, 0.3`: one for each sketch, or one for all of them.

    Args:
        text: numbers separated by commas; empty is none.
        count: number of sketches.
        most: largest strength.

    Returns:
        as many as sketches; None where there are none

    Raises:
        ValueError: not a list of numbers from 0 to `most`, or another number of them.
    """
    items = [part.strip() for part in text.split(",") if part.strip()]
    if not items:
        return None
    strengths = [parse_strength(item, most) for item in items]
    if len(strengths) == 1:
        return strengths * count
    if len(strengths) != count:
        raise ValueError(
            f"{count} sketch(es) but {len(strengths)} strengths in {shortened(text)}; expected one for each sketch, or "
            "one for all"
        )
    return strengths


def parse_strength(item: str, most: float) -> float:
    """Read one strength, by ValueError where it is not a number from 0 to `most`."""
    try:
        strength = float(item)
    except ValueError:
        strength = math.nan
    if not 0 <= strength <= most:
        raise ValueError(f"cannot read {shortened(item)} as a sketch's strength; expected a number from 0 to {most:g}")
    return strength


@dataclass(frozen=True)
class _Clip:
    """What indices are read for.

    Attributes:
        text: all of them, for messages.
        total: frames of the result.
        per_segment: frames of each segment.
    """

    text: str
    total: int
    per_segment: Sequence[int]

    def parse(self, item: str) -> Sequence[int]:
        """The indices of one item."""
        if match := _RANGE.fullmatch(item):
            first = int(match[1] or match[2])
            return self._range(item, first, int(match[3]) if match[3] else first)
        if match := _PERCENT.fullmatch(item):
            return [self._at(item, Fraction(match[1]))]
        if match := _PATTERN.fullmatch(item):
            number = int(match[2])
            return self._bisected(number) if match[1] == "bisect" else self._every(item, number)
        raise ValueError(
            f"cannot read {shortened(item)} in frame indices {shortened(self.text)}; expected a list such as 5, 9-11, "
            "-1, 50%, bisect:2 or every:4"
        )

    def _range(self, item: str, first: int, last: int) -> range:
        if last < first:
            raise ValueError(
                f"range {item!r} in frame indices {shortened(self.text)} runs backwards; write {last}-{first}"
            )
        for index in (first, last):
            if not -self.total <= index < self.total:
                raise ValueError(
                    f"frame index {index} is out of range; expected 0 to {self.total - 1} (or -1 for the last)"
                )
        return range(first % self.total, last % self.total + 1)

    def _at(self, item: str, percent: Fraction) -> int:
        if percent > 100:
            raise ValueError(f"frame index {item} is behind the end; expected 0% to 100%, the last frame")
        return math.ceil(percent / 100 * (self.total - 1) - Fraction(1, 2))

    def _bisected(self, depth: int) -> list[int]:
        starts = accumulate((frames - 1 for frames in self.per_segment), initial=0)
        return [
            start + frame
            for start, frames in zip(starts, self.per_segment, strict=False)  # the last start is the end
            for frame in bisection(frames, min(depth, frames))
        ]

    def _every(self, item: str, step: int) -> range:
        if not step:
            raise ValueError(f"frame index {item} has a step of 0; expected every:1 or more")
        return range(0, self.total, step)
