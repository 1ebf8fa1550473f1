"""Puts the drawn keyframes in place of the decoded ones, without a jump beside them."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

HAND_OVER = 8
"""Frames over which a keyframe's decoding error is taken out of its neighbours, less and less."""


def keep_keyframes(segments: Sequence[Tensor], ends: Tensor) -> list[Tensor]:
    """Segments that begin and end with the keyframes as they were drawn.

    What a decoded keyframe lacks of the drawn one is added to the frames beside it too, by a share that falls linearly
    to 0 after `HAND_OVER` frames, or at the other keyframe if that is nearer.

    Args:
        segments: decoded frames (3, t, H, W) of each, in [0, 1].
        ends: keyframes (S + 1, 3, H, W) in [0, 1], see `timeline.segment_ends`.

    Returns:
        (3, t, H, W) of each, in [0, 1]
    """
    ends = ends.to(segments[0])
    return [_kept(*parts) for parts in zip(segments, ends[:-1], ends[1:], strict=True)]


def _kept(frames: Tensor, first: Tensor, last: Tensor) -> Tensor:
    """One segment (3, t, H, W) with its keyframes (3, H, W)."""
    count = frames.shape[1]
    share = (1 - torch.arange(count).to(frames) / min(HAND_OVER, count - 1)).clamp(min=0)[:, None, None]
    first, last = first[:, None], last[:, None]
    missing = share * (first - frames[:, :1]) + share.flip(0) * (last - frames[:, -1:])
    inside = (frames + missing).clamp(0, 1)[:, 1:-1]
    return torch.cat([first, inside, last], dim=1)
