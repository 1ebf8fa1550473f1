"""ToonCrafter Sampler: the core's DDIM on ComfyUI's model."""

from __future__ import annotations

from typing import Any

import comfy.sample
import latent_preview
import torch
from comfy.model_patcher import ModelPatcher
from comfy_api.latest import io

from ..tooncrafter_core.sampling.schedule import Schedule
from .host.conditioning import keyframes_of
from .host.ddim import ddim_sampler, sigmas_of, with_guidance_rescale
from .host.model import ToonCrafterModel
from .host.sampling import ToonCrafterSampling
from .types import CATEGORY


class ToonCrafterSampler(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="ToonCrafterSampler",
            display_name="ToonCrafter Sampler",
            category=CATEGORY,
            description="Samples the frames with DDIM and classifier-free guidance, as published.",
            inputs=[
                io.Model.Input("model", tooltip="The model of ToonCrafter Loader."),
                io.Conditioning.Input("positive", tooltip="From Encode Keyframes or Sketch Guide."),
                io.Conditioning.Input("negative", tooltip="From Encode Keyframes or Sketch Guide."),
                io.Latent.Input(
                    "latent", tooltip="From Encode Keyframes; with denoise below 1, latents to start from."
                ),
                io.Int.Input(
                    "seed",
                    default=0,
                    min=0,
                    max=2**64 - 1,
                    control_after_generate=True,
                    tooltip="Seed of the noise. It means the same noise on every device.",
                ),
                io.Int.Input("steps", default=50, min=1, max=1000, tooltip="Sampling steps. Published: 50."),
                io.Float.Input(
                    "guidance_scale",
                    default=7.5,
                    min=1.0,
                    max=30.0,
                    step=0.1,
                    tooltip="How strongly prompt and keyframe steer. 1 turns guidance off and takes half the time.",
                ),
                io.Float.Input(
                    "guidance_rescale",
                    default=0.7,
                    min=0.0,
                    max=1.0,
                    step=0.01,
                    tooltip="How far the guided prediction's contrast is brought back to the unguided one's; keeps "
                    "colours from burning out.",
                ),
                io.Float.Input(
                    "eta",
                    default=1.0,
                    min=0.0,
                    max=1.0,
                    step=0.01,
                    tooltip="Noise added at each step: 1 as published, 0 for deterministic sampling.",
                ),
                io.Float.Input(
                    "denoise",
                    default=1.0,
                    min=0.01,
                    max=1.0,
                    step=0.01,
                    tooltip="Below 1, starts from the given latents with this share of the noise.",
                ),
            ],
            outputs=[io.Latent.Output(display_name="latent", tooltip="Latents of all frames. For Dual-Ref Decode.")],
        )

    @classmethod
    def execute(
        cls,
        model: ModelPatcher,
        positive: list[list[Any]],
        negative: list[list[Any]],
        latent: dict[str, Any],
        seed: int,
        steps: int,
        guidance_scale: float,
        guidance_rescale: float,
        eta: float,
        denoise: float,
    ) -> io.NodeOutput:
        samples = latent["samples"]
        frames = _check(model, positive, negative, samples)
        timesteps = _timesteps(steps, denoise)
        generator = torch.Generator().manual_seed(seed)
        sampled = comfy.sample.sample_custom(
            with_guidance_rescale(model, frames, guidance_rescale),
            torch.randn(samples.shape, generator=generator),
            guidance_scale,
            ddim_sampler(timesteps, eta, generator),
            sigmas_of(model, timesteps),
            positive,
            negative,
            samples,
            noise_mask=latent.get("noise_mask"),
            callback=latent_preview.prepare_callback(model, len(timesteps)),
            seed=seed,
        )
        return io.NodeOutput({**latent, "samples": sampled})


_GUIDANCE_PATCHES = ("sampler_cfg_function", "sampler_post_cfg_function")
"""Entries of a MODEL's options."""


def _timesteps(steps: int, denoise: float) -> list[int]:
    """The last `steps` of the trailing timesteps of a longer run, so that they begin at `denoise` of the noise; fewer
    where that share of the schedule has fewer."""
    schedule = Schedule.published()
    count = max(1, min(steps, round(len(schedule) * denoise)))
    return schedule.trailing_timesteps(min(round(count / denoise), len(schedule)))[-count:]


def _check(model: ModelPatcher, positive: list[list[Any]], negative: list[list[Any]], samples: torch.Tensor) -> int:
    """Frames of a segment, once everything is known to fit together."""
    if not isinstance(model.model, ToonCrafterModel):
        raise ValueError(f"model is a {type(model.model).__name__}; expected the model of ToonCrafter Loader.")
    sampling = model.get_model_object("model_sampling")
    if not isinstance(sampling, ToonCrafterSampling):
        raise ValueError(
            f"model has its sampling replaced by {type(sampling).__name__}; this Sampler runs the published schedule "
            "only. Take the ModelSampling node out, or use KSampler."
        )
    if any(model.model_options.get(name) for name in _GUIDANCE_PATCHES):
        raise ValueError(
            "model has a patch that changes guidance, such as RescaleCFG; this Sampler has guidance of its own, with "
            "guidance_rescale. Take the patch out, or use KSampler."
        )
    keyframes, others = keyframes_of(positive, "positive"), keyframes_of(negative, "negative")
    if keyframes.frames != others.frames:
        raise ValueError(
            f"positive is for segments of {keyframes.frames} frames and negative of {others.frames}; connect both to "
            "the same Encode Keyframes."
        )
    for found, name in ((keyframes, "positive"), (others, "negative")):
        if tuple(samples.shape) != found.latent_shape:
            raise ValueError(
                f"The latent batch has shape {tuple(samples.shape)}; the {name} conditioning expects "
                f"{found.latent_shape} ({found.segments} segment(s) of {found.frames} frames). Connect latent, "
                "positive and negative of the same Encode Keyframes."
            )
    return keyframes.frames
