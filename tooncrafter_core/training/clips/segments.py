"""Segments whose frozen parts are computed already, and draws from them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor
from torch.utils.data import Dataset


class Segments(NamedTuple):
    """Segments, or a batch of them; the first dimension counts them.

    Attributes:
        latents: (b, c, t, h, w), scaled.
        vision: vision tokens of the first and the last frame (b, 2, m, width).
        text: text tokens (b, 77, d).
        fps: (b,).
        lines: line drawings of all frames (b, 1, t, H, W) in [0, 1]; empty where they are not needed.
    """

    latents: Tensor
    vision: Tensor
    text: Tensor
    fps: Tensor
    lines: Tensor

    @property
    def skipped(self) -> int:
        """Unreadable clips passed over: none, they were when the segments were made."""
        return 0

    def row(self, index: int) -> Segments:
        """One segment, without the counting dimension."""
        return Segments(*(field[index] for field in self))

    def cut(self, first: int, frames: int) -> Segments:
        """A batch's frames from one on; vision tokens stay those of the whole segments' ends."""
        lines = self.lines[:, :, first : first + frames] if self.lines.ndim > 1 else self.lines
        return self._replace(latents=self.latents[:, :, first : first + frames], lines=lines)

    def to(self, device: torch.device) -> Segments:
        """All of it on a device."""
        return Segments(*(field.to(device) for field in self))


class CachedSegments(Dataset[Segments]):
    """Draws from kept segments: draw n is a row, and with even odds the same backwards in time, by (seed, n)."""

    def __init__(self, kept: Segments, seed: int, draws: int) -> None:
        self.kept = kept
        self._seed = seed
        self._draws = draws

    def __len__(self) -> int:
        return self._draws

    def __getitem__(self, n: int) -> Segments:
        generator = torch.Generator().manual_seed(hash((self._seed, n)) % 2**63)
        row = int(torch.randint(len(self.kept.latents), (), generator=generator))
        backwards = bool(torch.rand((), generator=generator) < 0.5)
        one = self.kept.row(row)
        if not backwards:
            return one
        lines = one.lines.flip(1) if one.lines.ndim else one.lines
        return one._replace(latents=one.latents.flip(1), vision=one.vision.flip(0), lines=lines)


def collate_segments(segments: Sequence[Segments]) -> Segments:
    """Segments to a float32 batch."""
    batch = Segments(*(torch.stack(field).float() for field in zip(*segments, strict=True)))
    return batch._replace(lines=batch.lines / 255)
