"""The noise schedule has the published numbers."""

from __future__ import annotations

import torch
from golden import MODULE_LIMIT, compare, family
from torch import Tensor

from tooncrafter_core.sampling.ddim import ddim_sigma
from tooncrafter_core.sampling.schedule import Schedule

SCHEDULE = Schedule.published()
Vectors = dict[str, Tensor]


def test_tables(vectors: Vectors) -> None:
    tables = {
        "schedule.alphas_cumprod": SCHEDULE.alphas_bar,
        "schedule.betas": betas(),
        "schedule.scale_arr": SCHEDULE.rescale,
    }
    used = {key: vectors[key][: len(SCHEDULE)] for key in tables}
    compare(tables, used, MODULE_LIMIT)


def betas() -> Tensor:
    """Noise added at each timestep, from the ratios of abar."""
    bars = SCHEDULE.alphas_bar.double()
    return (1 - bars / torch.cat([bars.new_ones(1), bars[:-1]])).float()


def test_trailing_timesteps(vectors: Vectors) -> None:
    for match in family(vectors, r"schedule\.ddim_timesteps\.trailing\.(\d+)"):
        rising = SCHEDULE.trailing_timesteps(int(match[1]))[::-1]
        assert rising == vectors[match[0]].tolist(), match[0]


def test_sigmas(vectors: Vectors) -> None:
    outputs = {
        match[0]: sigmas(int(match[1]), float(match[2]))
        for match in family(vectors, r"schedule\.ddim_sigmas\.(\d+)\.eta([\d.]+)")
    }
    compare(outputs, vectors, MODULE_LIMIT)


def sigmas(steps: int, eta: float) -> Tensor:
    """In the order of the vectors: rising timesteps."""
    timesteps = SCHEDULE.trailing_timesteps(steps)
    pairs = zip(timesteps, [*timesteps[1:], None], strict=True)
    return torch.tensor([ddim_sigma(SCHEDULE, t, following, eta) for t, following in pairs]).flip(0)
