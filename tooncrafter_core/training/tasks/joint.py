"""Trains denoiser and sketch encoder together. Not in the paper, whose denoiser is frozen while the encoder learns: one
that has seen little motion can only stretch a figure towards a sketch, and learns here to follow it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from accelerate import Accelerator
from torch import Tensor
from torch.utils.data import Dataset

from ...sketches.lines import load_line_extractor
from ..clips.segments import CachedSegments, Segments, collate_segments
from ..run.export import published
from ..run.recompute import recompute_blocks
from ..run.task import Loss, Player, Task
from ..settings.tasks import JointSettings
from .denoiser import choose_trained, complete_checkpoint, denoiser_checkpoint, denoiser_player, draws_of_segments
from .sketch import SketchPlayer, guided_strip, new_encoder

SKETCH_CHECKPOINT = "sketch.safetensors"
"""File of the sketch encoder, beside the denoiser's."""


class Pair(NamedTuple):
    """Segments, or batches of them, to be drawn without and with sketches."""

    free: Segments
    guided: Segments

    @property
    def skipped(self) -> int:
        """Unreadable clips passed over: none, they were when the segments were made."""
        return 0


class Pairs(Dataset[Pair]):
    """Draw n is draw n of both."""

    def __init__(self, free: CachedSegments, guided: CachedSegments) -> None:
        self.free = free
        self.guided = guided

    def __len__(self) -> int:
        return len(self.free)

    def __getitem__(self, n: int) -> Pair:
        return Pair(self.free[n], self.guided[n])


def collate_pairs(pairs: Sequence[Pair]) -> Pair:
    """Pairs to a pair of float32 batches."""
    free, guided = zip(*pairs, strict=True)
    return Pair(collate_segments(free), collate_segments(guided))


class JointPlayer(Player):
    """Mean squared errors of v without and with sketches, added; call it with a `Pair`.

    Args:
        sketching: its encoder and its denoiser train.
    """

    def __init__(self, sketching: SketchPlayer) -> None:
        super().__init__()
        self.sketching = sketching

    def forward(self, batch: Pair, generator: torch.Generator, step: int) -> Loss:
        free = self.sketching.denoiser(batch.free, generator, step).total
        guided = self.sketching(batch.guided, generator, step).total
        return Loss(free + guided, {"v_mse": free, "guided_v_mse": guided})


def make_task(settings: JointSettings, accelerator: Accelerator) -> Task:
    """All of the denoiser of `settings.start` and a sketch encoder train; the encoder's file lies beside.

    Raises:
        ValueError: settings, clips or files that cannot be used.
    """
    start = complete_checkpoint(settings)
    denoiser = denoiser_player(start, settings, accelerator)
    choose_trained(denoiser, "II")
    encoder = new_encoder(denoiser, settings)
    if settings.gradient_checkpointing:
        recompute_blocks(denoiser.unet)
        recompute_blocks(encoder)
    free = draws_of_segments(settings, start, accelerator)
    guided = draws_of_segments(settings.of_guided(), start, accelerator, load_line_extractor(settings.lines))

    def strip() -> Tensor:
        return guided_strip(denoiser, encoder, guided().kept, start, accelerator)

    return Task(
        players={"joint": JointPlayer(SketchPlayer(encoder, denoiser))},
        draws=lambda: Pairs(free(), guided()),
        collate=collate_pairs,
        strip=strip,
        checkpoint=lambda: denoiser_checkpoint(start, denoiser),
        beside={SKETCH_CHECKPOINT: lambda: published("sketch", encoder)},
    )
