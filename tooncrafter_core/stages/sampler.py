"""Noise to latents: the segments together, or one by one where they are long."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import takewhile

import torch
from einops import rearrange
from torch import Tensor

from ..memory import free_bytes, unet_bytes
from ..models.unet.context import CrossContext
from ..sampling.coarse_to_fine import Plan, Role, Run, all_runs, draw_run, is_long
from ..sampling.ddim import DDIMStep, Walk, ddim
from ..sampling.denoiser import GuidedDenoiser, SegmentsDenoiser
from ..sampling.guidance import Interval
from ..sampling.noise import Noise
from ..sampling.schedule import Schedule
from ..settings import Settings
from ..sketches.placed import PlacedSketches
from ..timeline import keyframe_condition, segment_rows
from ..toon_crafter import ToonCrafter


@dataclass(frozen=True)
class Sampler:
    """Samples latents, scaled, with the frames as rows, as on ComfyUI's wires.

    Attributes:
        model: the models.
        contexts: of each segment to be drawn, for the trained number of frames.
        unconditional: likewise.
        sketches: of each segment, if there are any.
        settings: steps, guidance, eta and seed.
        callback: called after each step.
    """

    model: ToonCrafter
    contexts: Mapping[int, CrossContext]
    unconditional: CrossContext
    sketches: list[PlacedSketches] | None
    settings: Settings
    callback: Callable[[DDIMStep], None] | None

    def sample(self, runs: Sequence[Run], keyframes: Mapping[int, Tensor], plans: Sequence[Plan]) -> dict[Run, Tensor]:
        """Latents of runs, see `draw_run`, on the CPU.

        Args:
            runs: which, rising; all others take their share of the noise.
            keyframes: what the first of these runs of each segment lies between, see `draw_run`.
            plans: of all segments there are.
        """
        noise = Noise(self.settings.seed, next(iter(keyframes.values())).shape[1:])
        with self.model.at_work(self.model.unet, self.model.sketch_encoder if self.sketches is not None else None):
            draw = self._one_by_one if is_long(plans) else self._together
            return draw(runs, keyframes, plans, noise)

    def _together(
        self, runs: Sequence[Run], keyframes: Mapping[int, Tensor], plans: Sequence[Plan], noise: Noise
    ) -> dict[Run, Tensor]:
        """The only runs of some segments at once, with their rows of the noise of all."""
        counts = [len(plan.coarse) for plan in plans]
        rows = [row for run in runs for row in segment_rows(counts)[run.segment]]
        denoisers = [self._denoiser(each, plans[each].coarse, keyframes[each]) for each, _ in runs]
        latents = self._run(denoisers, lambda: noise.draw(sum(counts))[rows]).cpu()
        return dict(zip(runs, latents.split([counts[run.segment] for run in runs]), strict=True))

    def _one_by_one(
        self, runs: Sequence[Run], keyframes: Mapping[int, Tensor], plans: Sequence[Plan], noise: Noise
    ) -> dict[Run, Tensor]:
        """Run after run, the fine ones between what came of the coarse one."""
        noisy_steps = self.settings.steps if self.settings.eta > 0 else 0
        between, drawn = dict(keyframes), dict[Run, Tensor]()
        for run in takewhile(lambda each: each <= runs[-1], all_runs(plans)):
            segment, plan = run.segment, plans[run.segment]
            if run not in runs:
                noise.leave_out(len(plan.runs[run.number]), noisy_steps)
                continue
            drawn[run] = draw_run(partial(self._run_of, segment, noise), plan, run.number, between[segment]).cpu()
            if run.number == 0:
                between[segment] = drawn[run]
        return drawn

    def _run_of(self, segment: int, noise: Noise, frames: Sequence[int], ends: Tensor, role: Role) -> Tensor:
        """Some frames of one segment (n, c, h, w), see `DrawRun`."""
        return self._run([self._denoiser(segment, frames, ends)], lambda: noise.draw(len(frames)), role)

    def _denoiser(self, segment: int, frames: Sequence[int], ends: Tensor) -> GuidedDenoiser:
        """Of some frames of one segment, between two frames' latents (2, c, h, w)."""
        model, settings, count = self.model, self.settings, len(frames)
        condition = keyframe_condition(ends, count)
        pair = self.contexts[segment].resampled(count), self.unconditional.resampled(count)
        sketches = None if self.sketches is None else self.sketches[segment].of_run(frames)
        strength = settings.sketch_strength if sketches is None else sketches.strength
        return GuidedDenoiser(
            unet=model.unet,
            condition=condition.to(model.device, model.dtype),
            contexts=_passes(model, pair, condition, settings),
            frame_rate=settings.frame_rate,
            guidance_scale=settings.guidance_scale,
            guidance_rescale=settings.guidance_rescale,
            sketch_encoder=model.sketch_encoder,
            hints=None if sketches is None else rearrange(sketches.hints, "t 1 h w -> 1 1 t h w"),
            sketch_strength=strength[None] if isinstance(strength, Tensor) else strength,
            guided=Interval(settings.guidance_from, settings.guidance_to),
        )

    def _run(self, segments: Sequence[GuidedDenoiser], noise: Callable[[], Tensor], role: Role = Role.ONLY) -> Tensor:
        """All steps of some segments together: latents of the shape of the noise, frames as rows."""
        schedule, settings, device = Schedule.published(), self.settings, self.model.device
        timesteps = schedule.trailing_timesteps(settings.steps)

        def there() -> Tensor:
            return noise().to(device)

        clean = role.ends_clean or settings.clean_end
        walk = Walk(schedule, timesteps, settings.eta, clean, role.ends_averaged)
        return ddim(SegmentsDenoiser(segments), there(), walk, there, self.callback)


def _passes(
    model: ToonCrafter, pair: tuple[CrossContext, CrossContext], condition: Tensor, settings: Settings
) -> list[CrossContext]:
    """What the U-Net runs for one segment: one pass without guidance, else both in one batch where memory allows."""
    if settings.guidance_scale == 1:
        return [pair[0]]
    if pair[0].text.shape == pair[1].text.shape and _both_passes_fit(model, condition):
        return [CrossContext.join(pair)]
    return list(pair)


def _both_passes_fit(model: ToonCrafter, condition: Tensor) -> bool:
    """Whether a batch of two is worth it and has room: on a CPU it gains nothing."""
    if torch.device(model.device).type != "cuda":
        return False
    frames, height, width = condition.shape[2:]
    return unet_bytes(model.unet.config, frames, height, width, model.dtype, rows=2) < free_bytes(model.device)
