"""Puts the drawn keyframes in place of the decoded ones, without a jump beside them."""

from __future__ import annotations

import torch
from torch import Tensor

HAND_OVER = 8
"""Frames over which a keyframe's decoding error is taken out of its neighbours, less and less."""


def keep_keyframes(frames: Tensor, ends: Tensor) -> Tensor:
    """A segment that begins and ends with the keyframes as they were drawn.

    What a decoded keyframe lacks of the drawn one is added to the frames beside it too, by a share that falls linearly
    to 0 after `HAND_OVER` frames, or at the other keyframe if that is nearer.

    Args:
        frames: decoded frames (3, t, H, W) in [0, 1].
        ends: its keyframes (2, 3, H, W) in [0, 1].

    Returns:
        (3, t, H, W) in [0, 1]
    """
    first, last = ends.to(frames)
    count = frames.shape[1]
    share = (1 - torch.arange(count).to(frames) / min(HAND_OVER, count - 1)).clamp(min=0)[:, None, None]
    first, last = first[:, None], last[:, None]
    missing = share * (first - frames[:, :1]) + share.flip(0) * (last - frames[:, -1:])
    inside = (frames + missing).clamp(0, 1)[:, 1:-1]
    return torch.cat([first, inside, last], dim=1)
