"""Where segments lie in a batch of frames: finished frames share keyframes, latents on a wire do not."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Spans:
    """Segments of equal length in a batch.

    Attributes:
        segments: how many.
        frames: frames of each, both keyframes included.
        total: frames of the batch.
        shared: neighbouring segments share a keyframe, as in a result; otherwise each has its own, as in latents.
    """

    segments: int
    frames: int
    total: int
    shared: bool

    @property
    def stride(self) -> int:
        """Frames from a segment's first to the next one's."""
        return self.frames - 1 if self.shared else self.frames

    @property
    def loop(self) -> bool:
        """The last segment ends at the first frame of the batch."""
        return self.shared and self.total == self.segments * self.stride

    def keyframes(self) -> list[int]:
        """Frames of the batch that are keyframes, rising."""
        ends = {(k * self.stride + end) % self.total for k in range(self.segments) for end in (0, self.frames - 1)}
        return sorted(ends)

    def place(self, within: Tensor) -> Tensor:
        """Moments of one segment, repeated in all of them; a shared keyframe comes once.

        Args:
            within: (m,), rising from 0 to frames - 1.

        Returns:
            positions in the batch; in a loop those after the last frame lie between `total - 1` and `total`
        """
        positions = within + self.stride * torch.arange(self.segments)[:, None]
        if not self.shared:
            return positions.flatten()
        last = positions[-1, -1:][: 0 if self.loop else 1]
        return torch.cat([positions[:, :-1].flatten(), last])


def spans_of_frames(total: int, frames: int) -> Spans:
    """Segments of a result, see `timeline`: S (frames - 1) + 1 frames in all, or S (frames - 1) in a loop.

    Args:
        total: frames of the batch.
        frames: of each segment, 2 or more; 0 takes the whole batch as one segment.

    Raises:
        ValueError: the batch is not made of such segments.
    """
    frames = frames or total
    _check(total, frames)
    segments, rest = divmod(total, frames - 1)
    if rest > 1 or not segments:
        raise ValueError(
            f"{total} frames are not made of segments of {frames}; expected n x {frames - 1} + 1 frames, or "
            f"n x {frames - 1} of a loop. Give the frames that Encode Keyframes was told, or 0 for one segment."
        )
    return Spans(segments, frames, total, shared=True)


def spans_of_latents(total: int, frames: int) -> Spans:
    """Segments of a sampler's latents: S x frames.

    Args:
        total: latents of the batch.
        frames: of each segment, 2 or more; 0 takes the whole batch as one segment.

    Raises:
        ValueError: the batch is not made of such segments.
    """
    frames = frames or total
    _check(total, frames)
    if total % frames:
        raise ValueError(
            f"{total} latents are not made of segments of {frames}; give the frames that Encode Keyframes was told, "
            "or 0 for one segment."
        )
    return Spans(total // frames, frames, total, shared=False)


def _check(total: int, frames: int) -> None:
    if frames < 2:
        raise ValueError(f"{total} frames in segments of {frames}; expected 2 or more in a segment")
