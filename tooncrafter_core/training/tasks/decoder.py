"""Trains the dual-reference 3D decoder (paper, section 3.3): L1, perceptual, and a discriminator's hinge loss."""

from __future__ import annotations

from collections import deque
from pathlib import Path
from typing import cast

import torch
import torch.nn.functional as F
from accelerate import Accelerator
from einops import rearrange
from torch import Tensor

from ...files.checkpoint import PREFIXES, read_checkpoint
from ...files.working_settings import read_working_settings
from ...models.config import LATENT_SCALE
from ...models.vae.autoencoder import Autoencoder
from ..clips.draws import Batch, Draws, collate
from ..losses.discriminator import (
    DiscriminatorConfig,
    PatchDiscriminator,
    adaptive_weight,
    discriminator_loss,
    generator_loss,
)
from ..losses.perceptual import PerceptualDistance, load_perceptual
from ..run.attention import TRAINING_LAYERS
from ..run.export import published
from ..run.recompute import recompute_blocks
from ..run.task import Loss, Player, Task
from ..settings.tasks import DecoderSettings
from ..start.initialise import video_autoencoder
from ..start.widen import take_over
from .autoencoder import clip_stream, side_by_side
from .in_betweens import InBetweens

_STRIP_FRAMES = 8
_LEAST_FRAME = 48
"""Shorter side of training pictures below which the discriminator gets one layer less, pixels."""

Judged = deque[tuple[Tensor, Tensor]]
"""Real and decoded frames (n, 3, H, W) of the decoder's passes, for the discriminator's passes that follow."""


class DecoderPlayer(Player):
    """Decodes latents of a `Batch`, with the first and last frame as references.

    The latents are the encoder's, or those of the in-betweens that the model itself draws.

    Args:
        autoencoder: with the 3D decoder; the encoder must be frozen.
        perceptual: distance of two image batches (n,).
        discriminator: looked at, not trained here.
        judged: where frames are left for the discriminator.
        settings: weights and switches.
        in_betweens: draws latents; None where the settings want none of its own.
    """

    def __init__(
        self,
        autoencoder: Autoencoder,
        perceptual: PerceptualDistance,
        discriminator: PatchDiscriminator,
        judged: Judged,
        settings: DecoderSettings,
        in_betweens: InBetweens | None = None,
    ) -> None:
        super().__init__()
        self.autoencoder = autoencoder
        self.perceptual = perceptual
        self.settings = settings
        self.in_betweens = in_betweens
        self._unregistered = (discriminator,)
        self._judged = judged

    def forward(self, batch: Batch, generator: torch.Generator, step: int) -> Loss:
        settings = self.settings
        referred = torch.rand((), generator=generator).item() >= settings.drop_references
        latents, references = self._encode(batch.video)
        if self.in_betweens is not None and torch.rand((), generator=generator).item() < settings.drawn_latents:
            latents = self.in_betweens.draw(batch, generator)
        elif settings.latent_noise:
            latents = latents + self._noise(latents, generator)
        real, decoded = flat(batch.video), flat(self._decode(latents, references if referred else None))
        parts = {"l1": F.l1_loss(decoded, real), "perceptual": self.perceptual(decoded, real).mean()}
        total = parts["l1"] + settings.perceptual_weight * parts["perceptual"]
        if step >= settings.adversarial_from:
            self._judged.append((real, decoded.detach()))
            parts["adversarial"] = generator_loss(self._unregistered[0](decoded))
            parts["adversarial_weight"] = adaptive_weight(total, parts["adversarial"], self._last_layer)
            total = total + parts["adversarial_weight"] * parts["adversarial"]
        return Loss(total, parts)

    def decode(self, video: Tensor) -> Tensor:
        """Encode and decode video (b, 3, t, H, W) in [-1, 1]."""
        return self._decode(*self._encode(video))

    @torch.no_grad()
    def _encode(self, video: Tensor) -> tuple[Tensor, list[Tensor]]:
        """Latents (b, c, t, h, w) of all frames, and the features of the first and the last."""
        frames = video.shape[2]
        encoded = self.autoencoder.encode_keyframes(flat(video))
        references = [rearrange(maps, "(b t) c h w -> b t c h w", t=frames)[:, [0, -1]] for maps in encoded.features]
        return rearrange(encoded.latents, "(b t) c h w -> b c t h w", t=frames), references

    def _decode(self, latents: Tensor, references: list[Tensor] | None) -> Tensor:
        return self.autoencoder.decode_segments(latents, references if self.settings.references else None)

    def _noise(self, latents: Tensor, generator: torch.Generator) -> Tensor:
        """White noise of a standard deviation drawn for each sample, in the latents' own units."""
        deviation = torch.rand(len(latents), 1, 1, 1, 1, generator=generator) * self.settings.latent_noise
        return (torch.randn(latents.shape, generator=generator) * deviation / LATENT_SCALE).to(latents)

    @property
    def _last_layer(self) -> Tensor:
        decoder = self.autoencoder.decoder
        return (decoder.time_mix_conv if self.settings.temporal else decoder.conv_out).get_parameter("weight")


class DiscriminatorPlayer(Player):
    """Tells the frames the decoder has just decoded from real ones."""

    def __init__(self, discriminator: PatchDiscriminator, judged: Judged, settings: DecoderSettings) -> None:
        super().__init__()
        self.discriminator = discriminator
        self.settings = settings
        self._judged = judged

    def plays(self, step: int) -> bool:
        return step >= self.settings.adversarial_from

    def forward(self, batch: Batch, generator: torch.Generator, step: int) -> Loss:
        real, decoded = self._judged.popleft()
        loss = discriminator_loss(self.discriminator(real), self.discriminator(decoded))
        return Loss(loss, {"discriminator": loss})


def flat(video: Tensor) -> Tensor:
    """(b, c, t, h, w) to (b t, c, h, w)."""
    return rearrange(video, "b c t h w -> (b t) c h w")


def make_task(settings: DecoderSettings, accelerator: Accelerator) -> Task:
    """The decoder of `settings.start` trains; everything else stays.

    Raises:
        ValueError: settings, clips or files that cannot be used.
    """
    start = read_checkpoint(settings.start)
    autoencoder = cast(Autoencoder, start.load("autoencoder", TRAINING_LAYERS).float())
    if not autoencoder.config.dual_reference:
        autoencoder = video_autoencoder(autoencoder, settings.reference_head_channels)
        if settings.begin is not None:
            _begin(autoencoder, settings.begin)
    elif settings.begin is not None:
        raise ValueError(f"{settings.start} has a 3D decoder already, which is trained on; leave begin out")
    choose_trained(autoencoder, settings)
    if settings.gradient_checkpointing:
        recompute_blocks(autoencoder.decoder)
    small = min(settings.width, settings.height) < _LEAST_FRAME
    discriminator = PatchDiscriminator(
        DiscriminatorConfig(width=settings.discriminator_channels, layers=2 if small else 3)
    )
    judged: Judged = deque()
    draws = Draws(clip_stream(settings, settings.frames, accelerator.num_processes))
    draws.check()
    in_betweens = InBetweens(settings.start, accelerator.device) if settings.drawn_latents else None
    perceptual = load_perceptual(*settings.perceptual)
    player = DecoderPlayer(autoencoder, perceptual, discriminator, judged, settings, in_betweens)

    def strip() -> Tensor:
        video = collate([draws[n] for n in range(2)]).video.to(accelerator.device)
        chosen = torch.linspace(0, video.shape[2] - 1, min(_STRIP_FRAMES, video.shape[2])).round().long()
        decoded = player.decode(video)
        return side_by_side(
            *(pictures[:, chosen].transpose(0, 1) for pair in zip(video, decoded, strict=True) for pictures in pair)
        )

    def checkpoint() -> dict[str, Tensor]:
        others = {n: t for n, t in start.tensors.items() if not n.startswith(PREFIXES["autoencoder"])}
        return others | published("autoencoder", autoencoder)

    return Task(
        players={"decoder": player, "discriminator": DiscriminatorPlayer(discriminator, judged, settings)},
        draws=lambda: draws,
        collate=collate,
        strip=strip,
        checkpoint=checkpoint,
        working=read_working_settings(settings.start),
    )


def _begin(autoencoder: Autoencoder, path: Path) -> None:
    """Take over what a file's 3D decoder has beside the image decoder's layers; see `DecoderSettings.begin`.

    Raises:
        ValueError: the file cannot be read, or its 3D decoder has other layers or sizes, or it has none.
    """
    trained = read_checkpoint(path)
    if trained.config.autoencoder is None or not trained.config.autoencoder.dual_reference:
        raise ValueError(f"{path} has {', '.join(trained.parts)} and no 3D decoder; expected one to begin with")
    wanted = [name for name in autoencoder.state_dict() if _is_of_video(name)]
    found = {name: tensor for name, tensor in trained.part("autoencoder").items() if _is_of_video(name)}
    try:
        take_over(autoencoder, wanted, found, (1, 1))
    except ValueError as error:
        raise ValueError(f"{path} cannot be begun with: {error}. Look at reference_head_channels and start") from error


def _is_of_video(name: str) -> bool:
    return _is_temporal(name) or "attn_refinement" in name


def _is_temporal(name: str) -> bool:
    return any(part in name for part in ("time_stack", "mix_factor", "time_mix_conv"))


def choose_trained(autoencoder: Autoencoder, settings: DecoderSettings) -> None:
    """The decoder trains, less what the settings switch off; the encoder does not."""
    autoencoder.requires_grad_(False)
    decoder = autoencoder.decoder
    decoder.requires_grad_(True)
    decoder.attn_refinement.requires_grad_(settings.references)
    for name, parameter in decoder.named_parameters():
        if _is_temporal(name):
            parameter.requires_grad_(settings.temporal)
