"""DDIM steps as linear maps: the same as the sampler's, and back."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from tooncrafter_core.sampling.ddim import DDIMStep, Walk, ddim
from tooncrafter_core.sampling.jump import END, jump
from tooncrafter_core.sampling.schedule import Schedule

SCHEDULE = Schedule.published()
STEPS = [(999, 749), (999, END), (749, 499), (499, 249), (249, END), (124, 61), (0, END)]


def drawn(seed: int) -> Tensor:
    return torch.randn(1, 2, 3, 4, 4, generator=torch.Generator().manual_seed(seed))


def after_one_step(z: Tensor, v: Tensor, t: int, following: int) -> Tensor:
    """Of the sampler."""
    seen: list[DDIMStep] = []
    timesteps = [t] if following == END else [t, following]
    ddim(lambda z, t: v, z, Walk(SCHEDULE, timesteps, 0.0, clean_end=True), noise=lambda: z, callback=seen.append)
    return seen[0].latents


def test_rows_step_as_the_sampler_does() -> None:
    z, v = (torch.cat([drawn(seed + row) for row in range(len(STEPS))]) for seed in (0, 100))
    now, then = (torch.tensor(column) for column in zip(*STEPS, strict=True))
    found = jump(SCHEDULE, now, then, z).end(z, v)
    for row, (t, following) in enumerate(STEPS):
        own = slice(row, row + 1)
        torch.testing.assert_close(found[own], after_one_step(z[own], v[own], t, following), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(("t", "following"), STEPS[:-1])
def test_the_velocity_that_leads_there(t: int, following: int) -> None:
    z, end = drawn(1), drawn(2)
    step = jump(SCHEDULE, torch.tensor([t]), torch.tensor([following]), z)
    torch.testing.assert_close(step.end(z, step.velocity(z, end)), end, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("t", [999, 500, 0, END])
def test_no_step_changes_nothing(t: int) -> None:
    z, place = drawn(3), torch.tensor([t])
    step = jump(SCHEDULE, place, place, z)
    torch.testing.assert_close(step.end(z, drawn(4)), z, rtol=1e-5, atol=1e-5)
