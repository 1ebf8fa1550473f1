"""In-betweens by warping both keyframes along their optical flow."""

from __future__ import annotations

import torch
from torch import Tensor

from ..optical_flow import optical_flow, warp
from .gap import Gap


def warp_by_flow(gap: Gap) -> Tensor:
    """Warp both keyframes to every moment and blend them by time.

    The flow from a moment s to the keyframes is that between the keyframes, taken at the same pixel (Jiang et al. 2018,
    eq. 4): to the first -(1 - s) s F01 + s^2 F10, to the last (1 - s)^2 F01 - s (1 - s) F10. Nothing is known of what
    hides what.
    """
    there, back = optical_flow(gap.first, gap.last), optical_flow(gap.last, gap.first)
    frames = []
    for s in gap.moments():
        first = warp(gap.first, s**2 * back - (1 - s) * s * there)
        last = warp(gap.last, (1 - s) ** 2 * there - s * (1 - s) * back)
        frames.append(torch.lerp(first, last, s))
    return torch.stack(frames)
