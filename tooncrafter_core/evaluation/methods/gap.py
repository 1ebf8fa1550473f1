"""What a method gets to see."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Gap:
    """Two keyframes and what is wanted between them.

    Attributes:
        clip: name of the clip.
        first, last: the keyframes (3, H, W) in [0, 1].
        frames: how many are wanted, keyframes included.
        fps: frames per second.
        prompt: what the clip shows.
    """

    clip: str
    first: Tensor
    last: Tensor
    frames: int
    fps: int
    prompt: str

    def moments(self) -> list[float]:
        """When each frame is, from 0 to 1."""
        return torch.linspace(0, 1, self.frames).tolist()


Method = Callable[[Gap], Tensor]
"""Draws all frames of a gap (t, 3, H, W) in [0, 1], the keyframes included."""
