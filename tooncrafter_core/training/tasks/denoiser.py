"""Trains the denoiser on v-prediction: the interpolation prior, and toon rectification (paper, section 3.2)."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import cache
from typing import cast

import torch
import torch.nn.functional as F
from accelerate import Accelerator
from einops import rearrange
from torch import Tensor, nn

from ...files.checkpoint import Checkpoint, CheckpointError, read_checkpoint
from ...models.config import LATENT_SCALE
from ...models.layout import to_images
from ...models.unet.blocks import TemporalConvStack
from ...models.unet.context import CrossContext
from ...models.unet.projector import ImageProjector, resample_frames
from ...models.unet.transformer import TemporalTransformer
from ...models.unet.unet import Controls, UNet
from ...sampling.ddim import Walk, ddim
from ...sampling.schedule import Schedule
from ..clips.cache import Lines, Towers, cached_segments, towers
from ..clips.draws import Draws
from ..clips.segments import CachedSegments, Segments, collate_segments
from ..run.attention import TRAINING_LAYERS
from ..run.export import published
from ..run.recompute import recompute_blocks
from ..run.task import Loss, Player, Task
from ..settings.tasks import BaseSettings, DenoiserSettings, RectifySettings, Variant
from .autoencoder import clip_stream, side_by_side

MakeControls = Callable[[Tensor, Tensor, CrossContext], Controls]
"""z (b, c, t, h, w), timesteps (b,) and text tokens to what a sketch encoder adds."""

_STRIP_SEGMENTS = 2
_STRIP_STEPS = 10
_STRIP_FRAMES = 8


class Denoising(nn.Module):
    """What training on v-prediction needs besides the trained model.

    Args:
        blank: tokens of the empty prompt (1, 77, d) and of a grey picture (1, m, width).
        settings: shares of samples without conditions.
    """

    blank_text: Tensor
    blank_vision: Tensor

    def __init__(self, blank: tuple[Tensor, Tensor], settings: DenoiserSettings) -> None:
        super().__init__()
        self.register_buffer("blank_text", blank[0])
        self.register_buffer("blank_vision", blank[1])
        self.schedule = Schedule.published()
        self.settings = settings

    def cut(self, batch: Segments, generator: torch.Generator) -> Segments:
        """The batch, or a part of its frames; see `DenoiserSettings.fewest_frames`."""
        fewest, all_frames = self.settings.fewest_frames, batch.latents.shape[2]
        if fewest is None or torch.rand((), generator=generator) < 0.5:
            return batch
        frames = int(torch.randint(fewest, all_frames, (), generator=generator))
        return batch.cut(int(torch.randint(all_frames - frames + 1, (), generator=generator)), frames)

    def noisy(self, latents: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor, Tensor]:
        """z, v and timesteps of clean latents (b, c, t, h, w)."""
        timesteps = self.draw_timesteps(len(latents), generator)
        eps = torch.randn(latents.shape, generator=generator).to(latents)
        z, v = self.schedule.noisy_and_velocity(latents, eps, timesteps.to(latents.device))
        return z, v, timesteps.to(latents.device)

    def draw_timesteps(self, count: int, generator: torch.Generator) -> Tensor:
        """Uniform timesteps, shifted towards noise (Esser et al. 2024, equation 23)."""
        uniform, shift = torch.rand(count, generator=generator), self.settings.timestep_shift
        shifted = shift * uniform / (1 + (shift - 1) * uniform)
        return (shifted * len(self.schedule)).long().clamp(max=len(self.schedule) - 1)

    def drop_conditions(self, batch: Segments, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """Text tokens and first-frame vision tokens, some of them blank (paper, section 4.1)."""
        settings = self.settings
        draw = torch.rand(len(batch.text), generator=generator).to(batch.text)[:, None, None]
        both = settings.drop_text + settings.drop_image
        no_text = (draw < settings.drop_text) | ((draw >= both) & (draw < both + settings.drop_both))
        no_image = (draw >= settings.drop_text) & (draw < both + settings.drop_both)
        text = torch.where(no_text, self.blank_text, batch.text)
        return text, torch.where(no_image, self.blank_vision, batch.vision[:, 0])


class DenoiserPlayer(Player):
    """Mean squared error of v; call it with `Segments`."""

    def __init__(self, unet: UNet, projector: ImageProjector, denoising: Denoising) -> None:
        super().__init__()
        self.unet = unet
        self.projector = projector
        self.denoising = denoising

    def forward(self, batch: Segments, generator: torch.Generator, step: int) -> Loss:
        batch = self.denoising.cut(batch, generator)
        z, v, timesteps = self.denoising.noisy(batch.latents, generator)
        text, vision = self.denoising.drop_conditions(batch, generator)
        predicted = self.predict(z, timesteps, batch, text, vision)
        loss = F.mse_loss(predicted.float(), v)
        return Loss(loss, {"v_mse": loss})

    def predict(
        self,
        z: Tensor,
        timesteps: Tensor,
        batch: Segments,
        text: Tensor,
        vision: Tensor,
        controls: Controls | None = None,
    ) -> Tensor:
        """v of z (b, c, t, h, w) between the batch's keyframes."""
        tokens = resample_frames(self.projector(vision), z.shape[2])
        context = CrossContext(text, tokens, keep=False)
        x = torch.cat([z, end_frames(batch.latents)], dim=1)
        return self.unet(x, timesteps, batch.fps.round(), context, controls)


def end_frames(latents: Tensor) -> Tensor:
    """The condition: first and last latent of each segment at their places, zeros between; (b, c, t, h, w)."""
    condition = torch.zeros_like(latents)
    condition[:, :, [0, -1]] = latents[:, :, [0, -1]]
    return condition


def make_task(settings: BaseSettings | RectifySettings, accelerator: Accelerator) -> Task:
    """The U-Net and the projector of `settings.start` train; its other parts stay.

    Raises:
        ValueError: settings, clips or a checkpoint that cannot be used.
    """
    start = complete_checkpoint(settings)
    player = denoiser_player(start, settings, accelerator)
    variant = settings.variant if isinstance(settings, RectifySettings) else "II"
    choose_trained(player, variant)
    if settings.gradient_checkpointing:
        recompute_blocks(player.unet)
    segments = draws_of_segments(settings, start, accelerator)

    def strip() -> Tensor:
        batch = first_segments(segments().kept)
        return segment_strip(batch, sample(player, batch), towers(start, accelerator.device))

    return Task(
        players={"denoiser": player},
        draws=segments,
        collate=collate_segments,
        strip=strip,
        checkpoint=lambda: denoiser_checkpoint(start, player),
    )


def complete_checkpoint(settings: DenoiserSettings) -> Checkpoint:
    """The checkpoint to start from.

    Raises:
        CheckpointError: it cannot be read, or lacks a part.
    """
    start = read_checkpoint(settings.start)
    if start.missing_parts or start.config.sketch is not None:
        raise CheckpointError(
            f"{settings.start} has {', '.join(start.parts)}; this training needs unet, autoencoder, projector, text "
            "and vision in one file"
        )
    return start


def denoiser_player(start: Checkpoint, settings: DenoiserSettings, accelerator: Accelerator) -> DenoiserPlayer:
    """The checkpoint's denoiser, in float32."""
    frozen = towers(start, accelerator.device)
    size = frozen.vision.config.image_size
    blank = frozen.read([""]), frozen.look(torch.zeros(1, 3, size, size, device=accelerator.device))
    unet = cast(UNet, start.load("unet", TRAINING_LAYERS).float())
    projector = cast(ImageProjector, start.load("projector", TRAINING_LAYERS).float())
    return DenoiserPlayer(unet, projector, Denoising(blank, settings))


def denoiser_checkpoint(start: Checkpoint, player: DenoiserPlayer) -> dict[str, Tensor]:
    """All tensors of the checkpoint it started from, with the denoiser as it is now."""
    return {**start.tensors, **published("unet", player.unet), **published("projector", player.projector)}


def choose_trained(player: DenoiserPlayer, variant: Variant) -> None:
    """Set what trains, by the paper's Table 3; see `RectifySettings.variant`."""
    spatial = variant in ("II", "III", "IV")
    player.unet.requires_grad_(spatial)
    player.projector.requires_grad_(spatial or variant == "V")
    for layer in temporal_layers(player.unet):
        layer.requires_grad_(variant == "II")
        if variant == "III":
            layer.register_forward_hook(lambda layer, inputs, output: to_images(inputs[0]))


def temporal_layers(unet: UNet) -> Iterator[nn.Module]:
    """The layers over frames: residual, so that leaving one out means passing its input, a video, on as images."""
    for module in unet.modules():
        if isinstance(module, (TemporalConvStack, TemporalTransformer)):
            yield module


def draws_of_segments(
    settings: DenoiserSettings, start: Checkpoint, accelerator: Accelerator, lines: Lines | None = None
) -> Callable[[], CachedSegments]:
    """What gives as many as a training's steps take, of segments that are encoded at the first call.

    Raises:
        ValueError: the list has no such clips, the first ones cannot be read, or memory cannot hold one.
    """
    stream = clip_stream(settings, settings.frames, accelerator.num_processes)
    draws = Draws(stream)
    draws.check()

    @cache
    def encoded() -> CachedSegments:
        return CachedSegments(cached_segments(settings, start, draws, accelerator, lines), settings.seed, len(stream))

    return encoded


def first_segments(kept: Segments) -> Segments:
    """The segments that strips show."""
    return collate_segments([kept.row(i) for i in range(min(_STRIP_SEGMENTS, len(kept.latents)))])


@torch.no_grad()
def sample(
    player: DenoiserPlayer, batch: Segments, controls: MakeControls | None = None, steps: int = _STRIP_STEPS
) -> Tensor:
    """Latents (b, c, t, h, w) sampled between the batch's keyframes in a few steps, without guidance."""
    device = player.denoising.blank_text.device
    batch = batch.to(device)
    schedule = player.denoising.schedule

    def denoise(z: Tensor, t: int) -> Tensor:
        timesteps = torch.full((len(z),), t, device=device)
        added = None if controls is None else controls(z, timesteps, CrossContext(batch.text))
        return player.predict(z, timesteps, batch, batch.text, batch.vision[:, 0], added)

    noise = torch.randn(batch.latents.shape, generator=torch.Generator().manual_seed(0)).to(device)
    timesteps = schedule.trailing_timesteps(steps)
    return ddim(denoise, noise, Walk(schedule, timesteps, 0.0, clean_end=True), noise=lambda: noise)


def segment_strip(batch: Segments, sampled: Tensor, models: Towers) -> Tensor:
    """For each segment a row of frames as they are and one as sampled, through the same decoder."""
    rows: list[Tensor] = []
    chosen = torch.linspace(0, batch.latents.shape[2] - 1, _STRIP_FRAMES).round().long()
    device = sampled.device
    for pair in zip(batch.latents.to(device), sampled, strict=True):
        for latents in pair:
            decoded = models.autoencoder.decode_segments(latents[None] / LATENT_SCALE)
            rows.append(rearrange(decoded[0], "c t h w -> t c h w")[chosen.to(device)])
    return side_by_side(*rows)
