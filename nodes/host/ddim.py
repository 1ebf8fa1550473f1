"""The core's DDIM as a ComfyUI sampler, and the core's guidance on a MODEL."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from comfy.model_patcher import ModelPatcher
from comfy.samplers import KSAMPLER
from torch import Tensor
from tqdm import tqdm

from ...tooncrafter_core.sampling.ddim import DDIMStep, Walk, ddim
from ...tooncrafter_core.sampling.guidance import Interval, guide
from .advice import with_comfyui_flags
from .conditioning import KEY


def ddim_sampler(
    timesteps: list[int],
    eta: float,
    noise: Callable[[], Tensor],
    guided: Interval,
    clean_end: bool,
    averaged_end: bool,
) -> KSAMPLER:
    """A SAMPLER that walks the given timesteps, with its CFG in an interval of them; `noise` gives what each step adds,
    on the CPU. `clean_end` and `averaged_end`: see the core's `Walk`.

    Give it the sigmas of the same timesteps, see `sigmas_of`.
    """

    def sample(
        model: Callable[..., Tensor],
        x: Tensor,
        sigmas: Tensor,
        extra_args: dict[str, Any],
        callback: Callable[[dict[str, Any]], None] | None,
        disable: bool,
    ) -> Tensor:
        guider = model.inner_model
        sampling, scale = guider.inner_model.model_sampling, guider.cfg
        ones = x.new_ones(len(x))

        def velocity(z: Tensor, t: int) -> Tensor:
            guider.set_cfg(scale if guided.holds(t) else 1.0)  # at which ComfyUI leaves the unconditional pass out
            sigma = ones * sampling.sigmas[t].to(x)
            noisy = z / sampling.calculate_input(sigma, torch.ones_like(z))
            return sampling.schedule.velocity(z, model(noisy, sigma, **extra_args), t)

        def added() -> Tensor:
            return noise().to(x)

        def report(step: DDIMStep) -> None:
            bar.update()
            if callback is not None:
                callback({"i": step.index, "denoised": step.denoised, "x": step.latents})

        z = sampling.calculate_input(ones * sigmas[0], x)
        with tqdm(total=len(timesteps), disable=disable) as bar, with_comfyui_flags():
            walk = Walk(sampling.schedule, timesteps, eta, clean_end, averaged_end)
            z = ddim(velocity, z, walk, added, report)
        mask = extra_args["denoise_mask"]
        return z if mask is None else torch.lerp(model.latent_image, z, mask.expand_as(z))

    return KSAMPLER(sample)


def sigmas_of(model: ModelPatcher, timesteps: list[int]) -> Tensor:
    """ComfyUI's sigmas at the given timesteps, and 0 after them."""
    sigmas = model.get_model_object("model_sampling").sigmas
    return torch.cat([sigmas[timesteps], sigmas.new_zeros(1)])


def with_guidance_rescale(model: ModelPatcher, rescale: float) -> ModelPatcher:
    """A clone of MODEL whose guidance is `guidance.guide`: on v, standard deviations over whole segments."""

    def rescaled(args: dict[str, Any]) -> Tensor:
        if args["uncond"] is None:
            return args["denoised"]
        sampling, sigma, x = args["model"].model_sampling, args["sigma"], args["input"]
        frames = list(args["cond"][0][KEY].frames)
        predicted = (
            sampling.velocity(sigma, args[name], x).split(frames) for name in ("cond_denoised", "uncond_denoised")
        )
        guided = [
            guide(conditional[None], unconditional[None], args["cond_scale"], rescale)[0]
            for conditional, unconditional in zip(*predicted, strict=True)
        ]
        return sampling.calculate_denoised(sigma, torch.cat(guided), x)

    clone = model.clone()
    clone.set_model_sampler_post_cfg_function(rescaled)
    return clone
