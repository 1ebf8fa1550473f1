"""Trains the sketch encoder on line drawings of chosen frames, the denoiser frozen (paper, section 3.4)."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from accelerate import Accelerator
from torch import Tensor

from ...files.checkpoint import Checkpoint, CheckpointError, read_checkpoint
from ...models.config import ModelConfig
from ...models.unet.context import CrossContext
from ...models.unet.sketch_encoder import SketchEncoder
from ...models.unet.unet import Controls
from ...sketches.guided_frames import bisection, choose_guided_frames, hints
from ...sketches.lines import load_line_extractor
from ..clips.cache import towers
from ..clips.segments import Segments, collate_segments
from ..run.export import check_sizes, published
from ..run.recompute import recompute_blocks
from ..run.task import Loss, Player, Task
from ..settings.tasks import SketchSettings
from ..start.initialise import sketch_encoder
from ..start.widen import take_over
from .denoiser import (
    DenoiserPlayer,
    complete_checkpoint,
    denoiser_player,
    draws_of_segments,
    first_segments,
    sample,
    segment_strip,
)


class SketchPlayer(Player):
    """Mean squared error of v with sketches; call it with `Segments` that have lines.

    Args:
        encoder: trains.
        denoiser: gradients pass through it; what of it trains is its own affair.
    """

    def __init__(self, encoder: SketchEncoder, denoiser: DenoiserPlayer) -> None:
        super().__init__()
        self.encoder = encoder
        self.denoiser = denoiser

    def forward(self, batch: Segments, generator: torch.Generator, step: int) -> Loss:
        batch = self.denoiser.denoising.cut(batch, generator)
        z, v, timesteps = self.denoiser.denoising.noisy(batch.latents, generator)
        text, vision = self.denoiser.denoising.drop_conditions(batch, generator)
        frames = z.shape[2]
        guided = [hints(drawn, choose_guided_frames(frames, generator)) for drawn in batch.lines]
        controls = self.encoder(z, torch.stack(guided), timesteps, CrossContext(text, keep=False))
        loss = F.mse_loss(self.denoiser.predict(z, timesteps, batch, text, vision, controls).float(), v)
        return Loss(loss, {"v_mse": loss})


def make_task(settings: SketchSettings, accelerator: Accelerator) -> Task:
    """A sketch encoder for the denoiser of `settings.start` trains; its checkpoint is a file of its own.

    Raises:
        ValueError: settings, clips or files that cannot be used.
    """
    start = complete_checkpoint(settings)
    denoiser = denoiser_player(start, settings, accelerator).requires_grad_(False)
    encoder = new_encoder(denoiser, settings)
    if settings.gradient_checkpointing:
        recompute_blocks(denoiser.unet)
        recompute_blocks(encoder)
    segments = draws_of_segments(settings, start, accelerator, load_line_extractor(settings.lines))

    def strip() -> Tensor:
        return guided_strip(denoiser, encoder, segments().kept, start, accelerator)

    return Task(
        players={"sketch": SketchPlayer(encoder, denoiser)},
        draws=segments,
        collate=collate_segments,
        strip=strip,
        checkpoint=lambda: published("sketch", encoder),
    )


def new_encoder(denoiser: DenoiserPlayer, settings: SketchSettings) -> SketchEncoder:
    """The sketch encoder that begins to train, see `SketchSettings.begin`.

    Raises:
        ValueError: sizes that its checkpoint would not tell, or a file to begin with that does not fit.
    """
    encoder = sketch_encoder(denoiser.unet, settings.hint_widths)
    if settings.begin is not None:
        begin = read_checkpoint(settings.begin)
        latents = _latents(begin), encoder.config.in_channels
        try:
            take_over(encoder, encoder.state_dict(), begin.part("sketch"), latents)
        except ValueError as error:
            raise ValueError(f"{begin.path} cannot be begun with: {error}. Look at hint_widths and start") from error
    check_sizes(published("sketch", encoder), ModelConfig(sketch=encoder.config))
    return encoder


def guided_strip(
    denoiser: DenoiserPlayer, encoder: SketchEncoder, kept: Segments, start: Checkpoint, accelerator: Accelerator
) -> Tensor:
    """The strip of segments that are drawn with a sketch for the frame in the middle."""
    batch = first_segments(kept)
    drawn = hints(batch.lines, bisection(batch.lines.shape[2], 1)).to(accelerator.device)

    def controls(z: Tensor, timesteps: Tensor, context: CrossContext) -> Controls:
        return encoder(z, drawn, timesteps, context)

    return segment_strip(batch, sample(denoiser, batch, controls), towers(start, accelerator.device))


def _latents(begin: Checkpoint) -> int:
    if begin.config.sketch is None:
        raise CheckpointError(f"{begin.path} has {', '.join(begin.parts)}; expected a sketch encoder to begin with")
    return begin.config.sketch.in_channels
