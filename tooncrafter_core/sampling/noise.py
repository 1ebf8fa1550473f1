"""The noise of sampling, of which a segment gets the same whichever others are drawn."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor


class Noise:
    """Standard normal noise from one generator for all runs, on the CPU: a seed is the same noise on every device.

    Args:
        seed: of the generator.
        size: of one frame's latents (c, h, w).
    """

    def __init__(self, seed: int, size: Sequence[int]) -> None:
        self._generator, self._size = torch.Generator().manual_seed(seed), tuple(size)

    def draw(self, frames: int) -> Tensor:
        """(frames, c, h, w)"""
        return torch.randn(frames, *self._size, generator=self._generator)

    def leave_out(self, frames: int, steps: int) -> None:
        """Draw what a run that is not sampled would have taken, for its start and for `steps` steps."""
        for _ in range(1 + steps):
            self.draw(frames)
