"""Where a model loses: one rung for each part that a frame goes through, on true frames of held-out clips."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from einops import rearrange
from torch import Tensor

from ...files.tokenizer import tokenize
from ...models.clip.vision_tower import preprocess
from ...models.config import LATENT_SCALE
from ...models.unet.context import CrossContext
from ...models.unet.projector import resample_frames
from ...sampling.schedule import Schedule
from ...toon_crafter import ToonCrafter
from ...training.tasks.denoiser import end_frames
from ..metrics import perceptual_distances, psnr
from .measures import Bench
from .store import Values
from .subject import TinyModel
from .summary import means, table
from .windows import Window, as_bytes, as_float

TIMESTEPS = (100, 300, 500, 700, 900, 999)
"""At which the denoiser is asked once."""

_RUNGS = {"image": "image autoencoder", "references": "dual-reference decoder", "whole": "the whole model"}


@dataclass(frozen=True)
class Rungs:
    """Measures one model's rungs on windows; what a report has measured before is taken from there."""

    bench: Bench
    subject: TinyModel

    def values(self, window: Window) -> Values:
        """Distance and PSNR (dB) of frames 1 to 14 after each part, and the denoiser's errors."""
        model, truth = self.subject.model, window.frames
        frames = {
            "image": frame_by_frame(model, truth),
            "references": as_float(self.subject.reconstruct(window, references=True)),
            "whole": self.bench.drawn(self.subject, window),
        }
        values = denoising_errors(model, window)
        for name, made in frames.items():
            values[name] = float(perceptual_distances(self.bench.distance, made[1:-1], truth[1:-1]).mean())
            values[f"{name}_psnr"] = psnr(made[1:-1], truth[1:-1])
        return values


@torch.inference_mode()
def frame_by_frame(model: ToonCrafter, frames: Tensor) -> Tensor:
    """Frames (t, 3, H, W) in [0, 1] encoded and decoded each alone: no neighbours, no references."""
    with model.at_work(model.autoencoder):
        latents = model.autoencoder.encode_keyframes(frames * 2 - 1).latents
        decoded = model.autoencoder.decode_segments(latents[:, :, None])[:, :, 0]
    return as_float(as_bytes((decoded + 1) / 2))


@torch.inference_mode()
def denoising_errors(model: ToonCrafter, window: Window) -> Values:
    """Mean squared error of the clean latents that the denoiser sees in noise, frames 1 to 14, by timestep.

    Latents have a variance of about 1: that is the error of one who answers with their mean.
    """
    parts = model.unet, model.autoencoder, model.projector, model.text, model.vision
    with model.at_work(*parts):
        encoded = model.autoencoder.encode_keyframes(window.frames * 2 - 1)
        latents = rearrange(encoded.latents, "t c h w -> 1 c t h w") * LATENT_SCALE
        text = model.text(tokenize(window.caption)).flatten(0, 1)[None]
        first = preprocess(window.frames[:1] * 2 - 1, model.vision.config.image_size)
        context = CrossContext(text, resample_frames(model.projector(model.vision(first)), len(window.frames)))
        return {f"latent error at {t}": _error(model, latents, context, window, t) for t in TIMESTEPS}


def _error(model: ToonCrafter, latents: Tensor, context: CrossContext, window: Window, t: int) -> float:
    schedule = Schedule.published()
    eps = torch.randn(latents.shape, generator=torch.Generator().manual_seed(window.seed))
    z, _ = schedule.noisy_and_velocity(latents, eps, torch.tensor([t]))
    x = torch.cat([z, end_frames(latents)], dim=1)
    v = model.unet(x, torch.tensor([t]), torch.tensor([window.fps]), context)
    clean, _ = schedule.split(z, v, t)
    return float((clean - latents)[:, :, 1:-1].square().mean())


def markdown(rows: Mapping[str, Sequence[Values]]) -> str:
    """Two tables of means over the clips of each domain."""
    found = {domain: means(values) for domain, values in rows.items()}
    frames = [
        [domain, name, f"{mean[f'{key}_psnr']:.2f}", f"{mean[key]:.4f}"]
        for domain, mean in found.items()
        for key, name in _RUNGS.items()
    ]
    errors = [[domain, *(f"{mean[f'latent error at {t}']:.4f}" for t in TIMESTEPS)] for domain, mean in found.items()]
    return "\n\n".join(
        [
            table(["domain", "true frames through", "PSNR, dB", "distance"], frames),
            table(["latent error", *(f"t = {t}" for t in TIMESTEPS)], errors),
        ]
    )
