"""Distils a denoiser to a few steps of one pass: a LoRA learns to go in one step where the teacher's steps lead.

The teacher is the denoiser without the LoRA, the student the same with it, so that both need the memory of one.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import torch
from accelerate import Accelerator
from torch import Tensor

from ...files.working_settings import WorkingSettings
from ...sampling.guidance import guide
from ...sampling.jump import END, Jump, jump
from ..clips.cache import towers
from ..clips.segments import Segments, collate_segments
from ..run.low_rank import Factors, LoRA, merge, read_lora, to_tensors
from ..run.recompute import recompute_blocks
from ..run.task import Loss, Player, Task
from ..settings.tasks import DistilSettings
from .denoiser import (
    DenoiserPlayer,
    complete_checkpoint,
    denoiser_player,
    draws_of_segments,
    first_segments,
    sample,
    segment_strip,
)

SPARED = ("fps_embedding",)
"""What the model is told of the frame rate stays as it is: no batch shows all of them."""


class Conditions(NamedTuple):
    """What a batch's denoising depends on.

    Attributes:
        batch: keyframes and frame rates.
        text: text tokens, some of them blank.
        vision: vision tokens of the first frame, likewise.
    """

    batch: Segments
    text: Tensor
    vision: Tensor


Denoise = Callable[[Tensor, Tensor, Conditions], Tensor]
"""z (b, c, t, h, w) and timesteps (b,) to v."""


class DistilPlayer(Player):
    """Mean squared error of where the student's step ends; call it with `Segments`.

    The teacher's timesteps are a grid of which every n-th is the student's, n = teacher_steps / student_steps; what
    lies from one of the student's to the next is a phase. `progressive` (Salimans and Ho 2022, algorithm 2, where n
    is 2) starts at a phase's begin and takes all of the teacher's steps. `consistency` (Song et al. 2023, algorithm 2;
    in phases as Wang et al. 2024) starts anywhere, takes one step of the teacher's, and from there the student's to
    the phase's end. Errors are measured as errors of v at the phase's begin.

    Args:
        lora: trains; of the denoiser's U-Net.
        denoiser: frozen.
        settings: how.
    """

    grid: Tensor

    def __init__(self, lora: LoRA, denoiser: DenoiserPlayer, settings: DistilSettings) -> None:
        super().__init__()
        self.lora = lora
        self.denoiser = denoiser
        self.settings = settings
        self.phase = settings.teacher_steps // settings.student_steps
        timesteps = denoiser.denoising.schedule.trailing_timesteps(settings.teacher_steps)
        self.register_buffer("grid", torch.tensor([*timesteps, END]))

    def forward(self, batch: Segments, generator: torch.Generator, step: int) -> Loss:
        denoising = self.denoiser.denoising
        batch = denoising.cut(batch, generator)
        at, end = self._draw(len(batch.latents), generator)
        eps = torch.randn(batch.latents.shape, generator=generator).to(batch.latents)
        z, _ = denoising.schedule.noisy_and_velocity(batch.latents, eps, self.grid[at])
        conditions = Conditions(batch, *denoising.drop_conditions(batch, generator))
        # First the student: autocast keeps cast weights, and those made without gradients would have none here.
        reached = self._go(z, at, end, conditions, self._student)
        with torch.no_grad():
            aim = self._aim(z, at, end, conditions)
        turned = self._jump(end - self.phase, end, z).turned
        loss = ((reached - aim) / turned).square().mean()
        return Loss(loss, {"v_mse": loss})

    def _draw(self, count: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """Where steps start, and the ends of their phases: indices into the grid (count,)."""
        schedule = self.denoiser.denoising.schedule
        timesteps = self.denoiser.denoising.draw_timesteps(count, generator).to(self.grid.device)
        progressive = self.settings.strategy == "progressive"
        stride = self.phase if progressive else 1
        starts = self.settings.teacher_steps // stride
        at = (len(schedule) - 1 - timesteps) * starts // len(schedule) * stride
        return at, (at // self.phase + 1) * self.phase

    def _aim(self, z: Tensor, at: Tensor, end: Tensor, conditions: Conditions) -> Tensor:
        """Where the student's step should end."""
        if self.settings.strategy == "consistency":
            z = self._go(z, at, at + 1, conditions, self._teacher)
            return self._go(z, at + 1, end, conditions, self._student)
        for index in range(self.phase):
            z = self._go(z, at + index, at + index + 1, conditions, self._teacher)
        return z

    def _go(self, z: Tensor, at: Tensor, to: Tensor, conditions: Conditions, denoise: Denoise) -> Tensor:
        """One step between two places of the grid; none where they are the same."""
        v = denoise(z, self.grid[at].clamp(min=0), conditions)
        return self._jump(at, to, z).end(z, v.float())

    def _jump(self, at: Tensor, to: Tensor, like: Tensor) -> Jump:
        return jump(self.denoiser.denoising.schedule, self.grid[at], self.grid[to], like)

    def _student(self, z: Tensor, timesteps: Tensor, conditions: Conditions) -> Tensor:
        return self.denoiser.predict(z, timesteps, *conditions)

    def _teacher(self, z: Tensor, timesteps: Tensor, conditions: Conditions) -> Tensor:
        """v without the LoRA, with the guidance that the student learns to do without."""
        settings, denoising = self.settings, self.denoiser.denoising
        with self.lora.left_out():
            v = self.denoiser.predict(z, timesteps, *conditions)
            if settings.guidance_scale == 1:
                return v
            text = denoising.blank_text.expand_as(conditions.text)
            vision = denoising.blank_vision.expand_as(conditions.vision)
            without = self.denoiser.predict(z, timesteps, conditions.batch, text, vision)
        return guide(v.float(), without.float(), settings.guidance_scale, settings.guidance_rescale)


def make_task(settings: DistilSettings, accelerator: Accelerator) -> Task:
    """A LoRA of `settings.start`'s U-Net trains; its checkpoint is a file of its own.

    Raises:
        ValueError: settings, clips or files that cannot be used.
    """
    start = complete_checkpoint(settings)
    denoiser = denoiser_player(start, settings, accelerator).requires_grad_(False)
    earlier = read_lora(settings.begin) if settings.begin else {}
    merge(denoiser.unet, earlier)
    lora = LoRA(denoiser.unet, settings.rank, SPARED)
    if settings.gradient_checkpointing:
        recompute_blocks(denoiser.unet)
    segments = draws_of_segments(settings, start, accelerator)

    def strip() -> Tensor:
        batch = first_segments(segments().kept)
        sampled = sample(denoiser, batch, steps=settings.student_steps)
        return segment_strip(batch, sampled, towers(start, accelerator.device))

    def checkpoint() -> dict[str, Tensor]:
        return to_tensors(_together(earlier, lora.factors()))

    return Task(
        players={"distil": DistilPlayer(lora, denoiser, settings)},
        draws=segments,
        collate=collate_segments,
        strip=strip,
        checkpoint=checkpoint,
        working=WorkingSettings(steps=settings.student_steps, guidance_scale=1.0, clean_end=True),
    )


def _together(earlier: dict[str, Factors], later: dict[str, Factors]) -> dict[str, Factors]:
    """One LoRA for two that are merged one after the other."""
    both = {name: earlier[name].joined(factors) for name, factors in later.items() if name in earlier}
    return {**earlier, **later, **both}
