"""Sampling runs on ComfyUI: all segments at once, or some frames of one segment, see `coarse_to_fine`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

import comfy.sample
from comfy.controlnet import ControlBase
from comfy.model_patcher import ModelPatcher
from comfy.utils import repeat_to_batch_size
from torch import Tensor

from ...tooncrafter_core.sampling.coarse_to_fine import Plan, Role, count_runs, draw_segment, guiding_frames, is_long
from ...tooncrafter_core.sampling.guidance import Interval
from ...tooncrafter_core.sampling.noise import Noise
from ...tooncrafter_core.timeline import segment_rows
from .conditioning import KEY, Keyframes, keyframes_of
from .control import SketchControlNet
from .ddim import ddim_sampler, sigmas_of

Conditioning = list[list[Any]]


@dataclass(frozen=True)
class Job:
    """What is sampled; frames are the batch.

    Attributes:
        positive: CONDITIONING with keyframes.
        negative: likewise.
        samples: latents (T, c, h, w) to start from, and what masked places keep.
        noise_mask: the LATENT's mask (1 or more, ..., h, w) or None.
    """

    positive: Conditioning
    negative: Conditioning
    samples: Tensor
    noise_mask: Tensor | None

    @property
    def keyframes(self) -> Keyframes:
        """Of the first prompt; the others are of the same Encode Keyframes."""
        return keyframes_of(self.positive, "positive")[0]


@dataclass(frozen=True)
class Walk:
    """How each run goes.

    Attributes:
        timesteps: falling, see `ddim`.
        eta: see `ddim`.
        guidance_scale: see `guidance.guide`.
        guided: where guidance counts.
        clean_end: see the core's `Walk`.
    """

    timesteps: list[int]
    eta: float
    guidance_scale: float
    guided: Interval
    clean_end: bool


class RunSampler:
    """The core's DDIM on MODEL, run after run: progress goes on from one to the next.

    Args:
        model: MODEL, with guidance; see `with_guidance_rescale`.
        walk: of each run.
        seed: of the noise.
        report: called with (step of all runs, x0, x) after each step.
    """

    def __init__(
        self, model: ModelPatcher, walk: Walk, seed: int, report: Callable[[int, Tensor, Tensor], None]
    ) -> None:
        self._model, self._walk, self._seed, self._report = model, walk, seed, report
        self._steps = 0

    def sample(self, job: Job, plans: Sequence[Plan], chosen: Sequence[int]) -> dict[int, Tensor]:
        """Latents (t, c, h, w) of the chosen segments by their numbers, not scaled: of all at once, or of one after the
        other. What a segment comes to does not depend on which others are chosen."""
        noise, counts = self._noise(job), job.keyframes.frames
        if is_long(plans):
            return self._one_by_one(job, plans, chosen, noise)
        if len(chosen) == len(plans):
            return dict(enumerate(self._run(job, lambda: noise.draw(sum(counts))).split(counts)))
        return {segment: self._alone(job, segment) for segment in chosen}

    def _noise(self, job: Job) -> Noise:
        return Noise(self._seed, job.samples.shape[1:])

    def _alone(self, job: Job, segment: int) -> Tensor:
        """One of the segments that are otherwise sampled together, with its rows of their noise."""
        noise, counts, ends = self._noise(job), job.keyframes.frames, job.keyframes.latents
        rows = list(segment_rows(counts)[segment])
        both = ends[segment : segment + 2]
        return self._run_of(job, segment, lambda _: noise.draw(sum(counts))[rows], range(len(rows)), both, Role.ONLY)

    def _one_by_one(self, job: Job, plans: Sequence[Plan], chosen: Sequence[int], noise: Noise) -> dict[int, Tensor]:
        """Each chosen segment run by run; the others take their share of the noise."""
        ends, noisy_steps = job.keyframes.latents, len(self._walk.timesteps) if self._walk.eta > 0 else 0
        drawn: dict[int, Tensor] = {}
        for segment, plan in enumerate(plans):
            if segment in chosen:
                draw = partial(self._run_of, job, segment, noise.draw)
                drawn[segment] = draw_segment(draw, ends[segment : segment + 2], plan)
            else:
                for run in plan.runs:
                    noise.leave_out(len(run), noisy_steps)
        return drawn

    def _run(self, job: Job, noise: Callable[[], Tensor], role: Role = Role.ONLY) -> Tensor:
        """All steps."""
        before, walk = self._steps, self._walk

        def report(step: int, x0: Tensor, x: Tensor, _: int) -> None:
            self._steps = before + step + 1
            self._report(before + step, x0, x)

        return comfy.sample.sample_custom(
            self._model,
            noise(),
            walk.guidance_scale,
            ddim_sampler(
                walk.timesteps, walk.eta, noise, walk.guided, role.ends_clean or walk.clean_end, role.ends_averaged
            ),
            sigmas_of(self._model, walk.timesteps),
            job.positive,
            job.negative,
            job.samples,
            noise_mask=job.noise_mask,
            callback=report,
            seed=self._seed,
        )

    def _run_of(
        self, job: Job, segment: int, draw: Callable[[int], Tensor], frames: Sequence[int], ends: Tensor, role: Role
    ) -> Tensor:
        """Some frames of one of the job's segments (n, c, h, w), see `DrawRun`; nothing is scaled. `draw` gives noise
        for so many frames."""
        rows = segment_rows(job.keyframes.frames)[segment]
        run = _Run(segment, rows, frames, ends, len(job.samples))
        mask = None if job.noise_mask is None else run.pick(job.noise_mask)
        share = Job(run.conditioning(job.positive), run.conditioning(job.negative), run.pick(job.samples), mask)
        return self._run(share, lambda: draw(len(frames)), role)


def count_host_runs(plans: Sequence[Plan], chosen: Sequence[int]) -> int:
    """How often `RunSampler.sample` goes through all steps."""
    return count_runs(plans) if len(chosen) == len(plans) else sum(len(plans[segment].runs) for segment in chosen)


@dataclass(frozen=True)
class _Run:
    """Some frames of one segment.

    Attributes:
        segment: its number.
        rows: its frames in a batch of all segments'.
        frames: numbers of the run's frames in the segment.
        ends: latents (2, c, h, w) of the frames it begins and ends with, not scaled.
        batch: rows of all segments.
        controls: the run's ControlNets by those they were made of, so that positive and negative share theirs and
            ComfyUI can run both passes in one batch.
    """

    segment: int
    rows: range
    frames: Sequence[int]
    ends: Tensor
    batch: int
    controls: dict[ControlBase, ControlBase] = field(default_factory=dict)

    def conditioning(self, whole: Conditioning) -> Conditioning:
        """The run's share of a CONDITIONING: keyframes, ControlNets' pictures, masks."""
        return [[text, {name: self._share(name, value) for name, value in values.items()}] for text, values in whole]

    def pick(self, values: Tensor) -> Tensor:
        """The run's rows of a batch; one row is for all frames."""
        return values if len(values) == 1 else self._of_segment(values)[list(self.frames)]

    def _of_segment(self, values: Tensor) -> Tensor:
        """The segment's rows of a batch; of another number than the frames', repeated or cut as ComfyUI does it."""
        return repeat_to_batch_size(values, self.batch)[self.rows.start : self.rows.stop]

    def _share(self, name: str, value: Any) -> Any:
        if name == KEY:
            return self._keyframes(value)
        if name == "control":
            return self._control(value)
        return self.pick(value) if name == "mask" else value

    def _keyframes(self, whole: Keyframes) -> Keyframes:
        shown = whole.vision if len(whole.vision) == 1 else whole.vision[self.segment : self.segment + 1]
        return replace(whole, latents=self.ends, vision=shown, frames=(len(self.frames),), loop=False)

    def _control(self, whole: ControlBase | None) -> ControlBase | None:
        """A copy of a chain of ControlNets with the run's pictures."""
        if whole is None or whole in self.controls:
            return self.controls.get(whole)
        own = whole.copy()
        own.cond_hint_original = self._guiding(whole.cond_hint_original, whole.cond_hint_original)
        if isinstance(own, SketchControlNet) and own.frame_strengths is not None:
            own.frame_strengths = self._guiding(own.frame_strengths, whole.cond_hint_original)
        own.extra_concat_orig = [self.pick(each) for each in whole.extra_concat_orig]
        self.controls[whole] = own.set_previous_controlnet(self._control(whole.previous_controlnet))
        return own

    def _guiding(self, values: Tensor, hints: Tensor) -> Tensor:
        """Values of the frames that guide the run, told by the ControlNet's pictures; one row is for all frames."""
        if len(values) == 1:
            return values
        return self._of_segment(values)[guiding_frames(self._of_segment(hints), self.frames)]
