"""Samples for training from a stream of clips: unreadable clips are replaced and counted."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor
from torch.utils.data import Dataset

from .stream import ClipStream, Sample

_ATTEMPTS = 20
_NEXT = 1_000_003
"""Distance to the draw that takes the place of an unreadable one; prime, so that no two draws share theirs."""


class UnreadableClips(ValueError):
    """So many clips are unreadable that a sample cannot be had.

    PyTorch makes another of it where it was raised in a process that reads clips, and puts that one's traceback before
    the message, which is taken away.
    """

    def __init__(self, message: str) -> None:
        super().__init__(message.rpartition(f"{type(self).__name__}: ")[2].rstrip())


class Drawn(NamedTuple):
    """A sample, and how many clips were passed over to get it."""

    sample: Sample
    skipped: int


class Batch(NamedTuple):
    """Samples for one pass.

    Attributes:
        video: frames (b, 3, t, h, w) in [-1, 1].
        fps: frames per second (b,).
        captions: one for each sample.
        skipped: unreadable clips passed over.
    """

    video: Tensor
    fps: Tensor
    captions: list[str]
    skipped: int


class Draws(Dataset[Drawn]):
    """The draws of a stream, each with a readable clip.

    Raises:
        UnreadableClips: a sample needed more than 20 attempts.
    """

    def __init__(self, stream: ClipStream) -> None:
        self.stream = stream

    def __len__(self) -> int:
        return len(self.stream)

    def check(self) -> None:
        """Raise UnreadableClips now, if the first sample cannot be had, and not in a process that reads ahead."""
        self[0]

    def __getitem__(self, n: int) -> Drawn:
        reasons: list[str] = []
        while len(reasons) < _ATTEMPTS:
            item = self.stream[n + len(reasons) * _NEXT]
            if isinstance(item, Sample):
                return Drawn(item, len(reasons))
            reasons.append(f"{item.path}: {item.reason}")
        raise UnreadableClips(
            f"{_ATTEMPTS} clips in a row could not be read, the last one {reasons[-1]}. "
            "Check the folder the list of clips points to."
        )


def collate(drawn: Sequence[Drawn]) -> Batch:
    samples = [item.sample for item in drawn]
    return Batch(
        video=to_model_range(torch.stack([sample.video for sample in samples]).transpose(1, 2)),
        fps=torch.tensor([sample.fps for sample in samples]),
        captions=[sample.caption for sample in samples],
        skipped=sum(item.skipped for item in drawn),
    )


def to_model_range(pixels: Tensor) -> Tensor:
    """uint8 pixels to [-1, 1]."""
    return pixels.float() / 127.5 - 1
