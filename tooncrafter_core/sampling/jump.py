"""DDIM steps without noise as linear maps of z and v, for batches whose rows have timesteps of their own; and the way
back, from where a step should end to the v that leads there."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from .schedule import Schedule

END = -1
"""In the place of a timestep: where `ddim` ends behind its last step, which goes to abar_0 with the rescale of the
timestep it comes from."""


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
    bars, rescales = schedule.alphas_bar.to(timesteps.device), schedule.rescale.to(timesteps.device)
    now, then = timesteps.clamp(min=0), following.clamp(min=0)
    bar, next_bar = bars[now], bars[then]
    alpha, sigma = bar.sqrt(), (1 - bar).sqrt()
    rescale = rescales[torch.where(following == END, now, then)] / rescales[now]
    clean, noise = next_bar.sqrt() * rescale, (1 - next_bar).sqrt()
    shape = (-1, *[1] * (like.ndim - 1))
    factors = clean * alpha + noise * sigma, noise * alpha - clean * sigma
    return Jump(*(factor.view(shape).to(like) for factor in factors))
