"""The golden tables of the noise schedule as ours has them."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor

from tooncrafter_core.sampling.ddim import Walk
from tooncrafter_core.sampling.schedule import Schedule

from .outputs import Outputs, family

SCHEDULE = Schedule.published()


def tables() -> Outputs:
    return {
        "schedule.alphas_cumprod": SCHEDULE.alphas_bar,
        "schedule.betas": betas(),
        "schedule.scale_arr": SCHEDULE.rescale,
    }


def betas() -> Tensor:
    """Noise added at each timestep, from the ratios of abar."""
    bars = SCHEDULE.alphas_bar.double()
    return (1 - bars / torch.cat([bars.new_ones(1), bars[:-1]])).float()


def trailing_timesteps(names: Iterable[str]) -> Outputs:
    """Rising, as the vectors have them."""
    return {
        match[0]: torch.tensor(SCHEDULE.trailing_timesteps(int(match[1]))[::-1])
        for match in family(names, r"schedule\.ddim_timesteps\.trailing\.(\d+)")
    }


def sigmas(names: Iterable[str]) -> Outputs:
    return {
        match[0]: _sigmas(int(match[1]), float(match[2]))
        for match in family(names, r"schedule\.ddim_sigmas\.(\d+)\.eta([\d.]+)")
    }


def _sigmas(steps: int, eta: float) -> Tensor:
    """In the order of the vectors: rising timesteps."""
    walk = Walk(SCHEDULE, SCHEDULE.trailing_timesteps(steps), eta)
    return torch.tensor([walk.sigma(index) for index in range(steps)]).flip(0)
