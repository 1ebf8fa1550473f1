"""ToonCrafter Sampler: the core's DDIM on ComfyUI's model."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import comfy.model_management as management
import torch
from comfy.model_patcher import ModelPatcher
from comfy_api.latest import io
from torch import Tensor

from ..tooncrafter_core.memory import naming_lack
from ..tooncrafter_core.redo import parse_segments
from ..tooncrafter_core.sampling.coarse_to_fine import plan_runs
from ..tooncrafter_core.sampling.guidance import Interval
from ..tooncrafter_core.sampling.schedule import Schedule
from . import checks
from .host.conditioning import KEY, LAYOUT_KEY, Keyframes
from .host.ddim import with_guidance_rescale
from .host.previews import progress_of
from .host.runs import Job, RunSampler, Walk, count_host_runs
from .host.sampling import ToonCrafterSampling
from .host.working_settings import warn_if_far
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
                *_redo_inputs(),
                *_walk_inputs(),
            ],
            outputs=[io.Latent.Output(display_name="latent", tooltip="Latents of all frames. For Dual-Ref Decode.")],
            hidden=[io.Hidden.dynprompt, io.Hidden.unique_id],
        )

    @classmethod
    @naming_lack("Sampling")
    def execute(
        cls,
        model: ModelPatcher,
        positive: list[list[Any]],
        negative: list[list[Any]],
        latent: dict[str, Any],
        previous: dict[str, Any] | None = None,
        **settings: float | str,
    ) -> io.NodeOutput:
        widgets = _Widgets(**checks.widgets(cls, settings))
        walk = widgets.walk
        keyframes = _check(model, positive, negative)
        samples = _samples(latent, "latent", keyframes)
        chosen = parse_segments(widgets.segments, keyframes.segments)
        kept = _kept(previous, chosen, keyframes)
        warn_if_far(cls.hidden, widgets.steps, widgets.guidance_scale, widgets.clean_end)
        plans = [plan_runs(frames, model.model.trained_frames) for frames in keyframes.frames]
        progress = progress_of(model, count_host_runs(plans, chosen) * len(walk.timesteps))
        sampler = RunSampler(
            with_guidance_rescale(model, widgets.guidance_rescale),
            walk,
            widgets.seed,
            lambda step, x0, _: progress(step, x0),
        )
        job = Job(positive, negative, samples, latent.get("noise_mask"))
        drawn = kept | sampler.sample(job, plans, chosen)
        joined = torch.cat([drawn[segment] for segment in range(keyframes.segments)])
        return io.NodeOutput({**latent, "samples": joined, LAYOUT_KEY: keyframes.layout})


def _redo_inputs() -> list[io.Input]:
    return [
        io.String.Input(
            "segments",
            default="",
            optional=True,
            tooltip="Segments to draw, such as 2 or 1, 3; the first one is 1. The others are taken from previous as "
            "they are. Empty draws all.",
        ),
        io.Latent.Input(
            "previous",
            optional=True,
            tooltip="With segments: where the others come from, the latent of an earlier Sampler with the same "
            "keyframes, or of Load Latent.",
        ),
    ]


def _walk_inputs() -> list[io.Input]:
    share = {"min": 0.0, "max": 1.0, "step": 0.01, "optional": True}
    return [
        io.Float.Input(
            "guidance_from",
            default=0.0,
            tooltip="Share of the sampling from which guidance counts: 0 is the first step. Steps before it take half "
            "the time.",
            **share,
        ),
        io.Float.Input(
            "guidance_to",
            default=1.0,
            tooltip="Share of the sampling up to which guidance counts: 1 is the last step. Steps after it take half "
            "the time.",
            **share,
        ),
        io.Boolean.Input(
            "clean_end",
            default=False,
            optional=True,
            tooltip="The last step removes all noise, as in KSampler. Off, it ends as published, which fades colours: "
            "1% with 50 steps, 6% with 12.",
        ),
    ]


@dataclass(frozen=True)
class _Widgets:
    """The node's widgets."""

    seed: int
    steps: int
    guidance_scale: float
    guidance_rescale: float
    eta: float
    denoise: float
    segments: str = ""
    guidance_from: float = 0.0
    guidance_to: float = 1.0
    clean_end: bool = False

    @property
    def walk(self) -> Walk:
        """What they mean for each run.

        Raises:
            ValueError: guidance would end before it begins.
        """
        guided = Interval(self.guidance_from, self.guidance_to)
        timesteps = _timesteps(self.steps, self.denoise)
        return Walk(timesteps, self.eta, self.guidance_scale, guided, self.clean_end)


_GUIDANCE_PATCHES = ("sampler_cfg_function", "sampler_post_cfg_function")
"""Entries of a MODEL's options."""


def _timesteps(steps: int, denoise: float) -> list[int]:
    """The last `steps` of the trailing timesteps of a longer run, so that they begin at `denoise` of the noise; fewer
    where that share of the schedule has fewer."""
    schedule = Schedule.published()
    count = max(1, min(steps, round(len(schedule) * denoise)))
    return schedule.trailing_timesteps(min(round(count / denoise), len(schedule)))[-count:]


def _samples(latent: dict[str, Any], name: str, keyframes: Keyframes) -> Tensor:
    """The latents of a LATENT that goes with the keyframes."""
    samples = checks.latent(latent, name, keyframes.latents.shape[1])
    checks.goes_with(latent, "positive", keyframes.latent_shape, keyframes.layout, name)
    return samples


def _kept(previous: dict[str, Any] | None, chosen: list[int], keyframes: Keyframes) -> dict[int, Tensor]:
    """Latents of all segments, for those that are not drawn, by number; none where all are."""
    if len(chosen) == keyframes.segments:
        return {}
    if previous is None:
        raise ValueError(
            f"segments names {len(chosen)} of {keyframes.segments} segments, but previous is not connected. Connect "
            "the latent that the others are taken from, or leave segments empty to draw all."
        )
    samples = _samples(previous, "previous", keyframes).to(management.intermediate_device())
    kept = dict(enumerate(samples.split(keyframes.frames)))
    empty = [segment + 1 for segment, rows in kept.items() if segment not in chosen and not rows.any()]
    if empty:
        raise ValueError(
            f"previous is empty in segment {empty[0]}, as the latent of Encode Keyframes is; expected sampled frames "
            "to keep. Connect the latent of an earlier run, from a Sampler or from Load Latent."
        )
    return kept


def _check(model: ModelPatcher, positive: checks.Conditioning, negative: checks.Conditioning) -> Keyframes:
    """The keyframes, once model and prompts are known to fit together."""
    denoiser = checks.model(model).model
    _check_patches(model)
    prompts = {name: checks.conditioning(p, name) for name, p in (("positive", positive), ("negative", negative))}
    keyframes = checks.keyframes(positive, negative)
    for name, prompt in prompts.items():
        for text, values in prompt:
            denoiser.check_fits(name, text, values[KEY], values.get("control"))
    return keyframes


def _check_patches(model: ModelPatcher) -> None:
    """Raise ValueError where the model's schedule or guidance is not the one this node runs."""
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
