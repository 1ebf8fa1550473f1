"""Where segments lie in a batch of frames: finished frames share keyframes, latents on a wire do not."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import accumulate

import torch
from torch import Tensor

from ..timeline import written


@dataclass(frozen=True)
class Spans:
    """Segments in a batch.

    Attributes:
        frames: of each segment, both keyframes included.
        total: frames of the batch.
        shared: neighbouring segments share a keyframe, as in a result; otherwise each has its own, as in latents.
    """

    frames: tuple[int, ...]
    total: int
    shared: bool

    @property
    def starts(self) -> list[int]:
        """The first frame of each segment, in the batch."""
        overlap = 1 if self.shared else 0
        return list(accumulate((frames - overlap for frames in self.frames[:-1]), initial=0))

    @property
    def loop(self) -> bool:
        """The last segment ends at the first frame of the batch."""
        return self.shared and self.total == self.starts[-1] + self.frames[-1] - 1

    def keyframes(self) -> list[int]:
        """Frames of the batch that are keyframes, rising."""
        ends = zip(self.starts, self.frames, strict=True)
        return sorted({(start + end) % self.total for start, frames in ends for end in (0, frames - 1)})

    def place(self, within: Callable[[int], Tensor]) -> Tensor:
        """Moments of every segment; a shared keyframe comes once.

        Args:
            within: moments (m,) of a segment of so many frames, rising from 0 to frames - 1.

        Returns:
            positions in the batch; in a loop those after the last frame lie between `total - 1` and `total`
        """
        positions = [start + within(frames) for start, frames in zip(self.starts, self.frames, strict=True)]
        if not self.shared:
            return torch.cat(positions)
        last = positions[-1][-1:][: 0 if self.loop else 1]
        return torch.cat([*(segment[:-1] for segment in positions), last])


def spans_of_frames(total: int, frames: int | Sequence[int]) -> Spans:
    """Segments of a result, see `timeline`: S (frames - 1) + 1 frames in all, or S (frames - 1) in a loop.

    Args:
        total: frames of the batch.
        frames: of each segment, 2 or more: one number for all, or one for each. 0 takes the whole batch as one segment.

    Raises:
        ValueError: the batch is not made of such segments.
    """
    given = _counts(total, frames)
    counts = given * (total // (given[0] - 1)) if len(given) == 1 else given
    steps = sum(counts) - len(counts)
    if not counts or total - steps not in (0, 1):
        expected = f"n x {given[0] - 1}" if len(given) == 1 else str(steps)
        raise ValueError(
            f"{total} frames are not made of segments of {written(given)}; expected {expected} + 1 frames, or "
            f"{expected} of a loop. Give the frames that Encode Keyframes was told, or 0 for one segment."
        )
    return Spans(counts, total, shared=True)


def spans_of_latents(total: int, frames: int | Sequence[int]) -> Spans:
    """Segments of a sampler's latents: S x frames.

    Args:
        total: latents of the batch.
        frames: as for `spans_of_frames`.

    Raises:
        ValueError: the batch is not made of such segments.
    """
    given = _counts(total, frames)
    counts = given * (total // given[0]) if len(given) == 1 else given
    if sum(counts) != total:
        raise ValueError(
            f"{total} latents are not made of segments of {written(given)}; give the frames that Encode Keyframes was "
            "told, or 0 for one segment."
        )
    return Spans(counts, total, shared=False)


def _counts(total: int, frames: int | Sequence[int]) -> tuple[int, ...]:
    """Frames of each segment, or of all; each 2 or more."""
    counts = (frames or total,) if isinstance(frames, int) else tuple(frames)
    if min(counts) < 2:
        raise ValueError(f"{total} frames in segments of {written(counts)}; expected 2 or more in a segment")
    return counts
