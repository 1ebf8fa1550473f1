"""DDIM steps without noise as linear maps of z and v, for batches whose rows have timesteps of their own; and the way
back, from where a step should end to the v that leads there."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from .schedule import Schedule

END = -1
"""In the place of a timestep: clean latents, where `ddim` ends with `Walk.clean_end`."""


class Jump(NamedTuple):
    """One DDIM step of eta 0: kept z + turned v.

    Attributes:
        kept: factor of z for each row (b, 1, ...).
        turned: factor of v, likewise; 0 where the step stays where it is.
    """

    kept: Tensor
    turned: Tensor

    def end(self, z: Tensor, v: Tensor) -> Tensor:
        """z after the step."""
        return self.kept * z + self.turned * v

    def velocity(self, z: Tensor, end: Tensor) -> Tensor:
        """The v with which the step ends there."""
        return (end - self.kept * z) / self.turned


def jump(schedule: Schedule, timesteps: Tensor, following: Tensor, like: Tensor) -> Jump:
    """The step from timesteps (b,) to the following ones, or `END`; a step from `END` to `END` changes nothing.

    z = a s x0 + sigma eps turns into a' s' x0 + sigma' eps, where x0 = (a z - sigma v) / s and eps = a v + sigma z.

    Args:
        schedule: noise levels.
        timesteps: before.
        following: after.
        like: z (b, ...), for shape, dtype and device.
    """
    ends = torch.ones(1, device=timesteps.device)  # where the index END, -1, leads
    bars, rescales = (torch.cat([of.to(ends), ends]) for of in (schedule.alphas_bar, schedule.rescale))
    bar, next_bar = bars[timesteps], bars[following]
    alpha, sigma = bar.sqrt(), (1 - bar).sqrt()
    clean, noise = next_bar.sqrt() * rescales[following] / rescales[timesteps], (1 - next_bar).sqrt()
    shape = (-1, *[1] * (like.ndim - 1))
    factors = clean * alpha + noise * sigma, noise * alpha - clean * sigma
    return Jump(*(factor.view(shape).to(like) for factor in factors))
