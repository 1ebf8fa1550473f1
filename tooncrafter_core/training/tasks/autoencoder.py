"""Trains the image autoencoder a new model needs first (Rombach et al. 2022, appendix G: L1, perceptual, KL)."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import fields
from typing import cast

import torch
import torch.nn.functional as F
from accelerate import Accelerator
from torch import Tensor, nn

from ...files.checkpoint import read_checkpoint
from ...models.config import LATENT_SCALE, ModelConfig
from ...models.vae.autoencoder import Autoencoder
from ..clips.draws import Batch, Draws, collate
from ..clips.manifest import read_manifest
from ..clips.room import check_room
from ..clips.stream import ClipStream, Cut
from ..losses.perceptual import load_perceptual
from ..run.export import check_sizes, published
from ..run.recompute import recompute_blocks
from ..run.task import Loss, Player, Task
from ..settings.run import RunSettings
from ..settings.tasks import AutoencoderSettings
from ..start.initialise import new_model
from ..start.linear_start import start_linear
from ..start.widen import start_from

_MEASURED_DRAWS = 32
"""Samples over which the latents' spread is measured when a checkpoint is written, and of which strips show eight."""


class AutoencoderPlayer(Player):
    """L1 + perceptual + KL; call it with a `Batch` of single frames.

    Args:
        autoencoder: with a plain decoder.
        perceptual: distance of two image batches (n,), or None.
        settings: weights of the terms.
    """

    def __init__(self, autoencoder: Autoencoder, perceptual: nn.Module | None, settings: AutoencoderSettings) -> None:
        super().__init__()
        self.autoencoder = autoencoder
        autoencoder.post_quant_conv.get_parameter("bias").requires_grad_(False)  # see `initialise.video_autoencoder`
        self.perceptual = perceptual
        self.settings = settings

    def forward(self, batch: Batch, generator: torch.Generator, step: int) -> Loss:
        images = batch.video[:, :, 0]
        mean, log_variance = self.autoencoder.moments(images)[0].chunk(2, dim=1)
        log_variance = log_variance.clamp(-30, 20)
        noise = torch.randn(mean.shape, generator=generator).to(mean)
        latents = mean + (0.5 * log_variance).exp() * noise
        decoded = self.autoencoder.decode_segments(latents[:, :, None])[:, :, 0]
        parts = {
            "l1": F.l1_loss(decoded, images),
            "kl": 0.5 * (mean**2 + log_variance.exp() - 1 - log_variance).mean(),
        }
        total = parts["l1"] + self.settings.kl_weight * parts["kl"]
        if self.perceptual is not None:
            parts["perceptual"] = self.perceptual(decoded, images).mean()
            total = total + self.settings.perceptual_weight * parts["perceptual"]
        return Loss(total, parts)


def make_task(settings: AutoencoderSettings, accelerator: Accelerator) -> Task:
    """A new model of the settings' sizes, whose autoencoder trains; the other parts stay as drawn.

    Raises:
        ValueError: sizes, clips or weight files that cannot be used.
    """
    config = ModelConfig(**{field.name: getattr(settings.model, field.name, None) for field in fields(ModelConfig)})
    if settings.model.autoencoder.dual_reference:
        raise ValueError("model.autoencoder.dual_reference is true; expected false until the training `decoder`")
    models = new_model(config, settings.seed)
    check_sizes(_published(models), config)
    autoencoder = cast(Autoencoder, models["autoencoder"])
    if settings.gradient_checkpointing:
        recompute_blocks(autoencoder)
    perceptual = load_perceptual(*settings.perceptual) if settings.perceptual else None
    draws = Draws(clip_stream(settings, 1, accelerator.num_processes))
    draws.check()

    def measured() -> Tensor:
        device = next(autoencoder.parameters()).device
        return collate([draws[n] for n in range(_MEASURED_DRAWS)]).video[:, :, 0].to(device)

    if settings.start is None:
        start_linear(autoencoder, measured())
    else:
        start_from(models, read_checkpoint(settings.start))

    def strip() -> Tensor:
        images = measured()[:8]
        mean = autoencoder.moments(images)[0].chunk(2, dim=1)[0]
        decoded = autoencoder.decode_segments(mean[:, :, None])[:, :, 0]
        return side_by_side(images, decoded)

    def checkpoint() -> dict[str, Tensor]:
        return _published(models | {"autoencoder": with_unit_latents(autoencoder, measured())})

    return Task(
        players={"autoencoder": AutoencoderPlayer(autoencoder, perceptual, settings)},
        draws=lambda: draws,
        collate=collate,
        strip=strip,
        checkpoint=checkpoint,
    )


def _published(models: Mapping[str, nn.Module]) -> dict[str, Tensor]:
    return {name: tensor for part, model in models.items() for name, tensor in published(part, model).items()}


def clip_stream(settings: RunSettings, frames: int, processes: int) -> ClipStream:
    """As many draws of the settings' training clips as all processes need.

    Raises:
        ValueError: there are none, or memory cannot hold one sample.
    """
    clips = [c for c in read_manifest(*settings.clips) if c.split == "train" and c.domain in settings.domains]
    if not clips:
        files, domains = ", ".join(map(str, settings.clips)), ", ".join(settings.domains)
        raise ValueError(f"{files} has no clip to train on in the domains {domains}; add some, or name other domains")
    one = frames * 3 * settings.width * settings.height * torch.float32.itemsize
    check_room(f"Pictures of {settings.width} x {settings.height}", one, "Choose fewer frames or a smaller size.")
    draws = settings.steps * settings.batch * settings.accumulate * processes
    return ClipStream(clips, Cut(frames, settings.width, settings.height, settings.strides), settings.seed, draws)


def side_by_side(*rows: Tensor) -> Tensor:
    """Rows of pictures (n, 3, h, w) in [-1, 1] to one picture (3, rows h, n w) in [0, 1]."""
    picture = torch.cat([torch.cat(list(row.float().cpu()), dim=-1) for row in rows], dim=-2)
    return ((picture + 1) / 2).clamp(0, 1)


@torch.no_grad()
def with_unit_latents(autoencoder: Autoencoder, images: Tensor) -> Autoencoder:
    """A copy whose latents, times `LATENT_SCALE`, have standard deviation 1 in each channel over the images.

    The noise schedule is made for such latents. The copy's reconstructions are the same.
    """
    scaled = copy.deepcopy(autoencoder)
    deviation = scaled.encode_keyframes(images).latents.std(dim=(0, 2, 3))
    factor = 1 / (LATENT_SCALE * deviation)
    channels = len(factor)
    weight, bias = scaled.quant_conv.get_parameter("weight"), scaled.quant_conv.get_parameter("bias")
    weight[:channels] *= factor[:, None, None, None]
    bias[:channels] *= factor
    bias[channels:] += 2 * factor.log()
    scaled.post_quant_conv.get_parameter("weight").div_(factor[None, :, None, None])
    return scaled
