"""DDIM sampling (Song et al. 2021, equation 12) with eta, trailing timesteps and dynamic rescale (SPEC section 4)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from ..finite import NotFiniteError, is_finite
from .schedule import Schedule

Denoiser = Callable[[Tensor, int], Tensor]
"""`denoiser(z, t) -> v`, with z and v of one shape and t a timestep."""


@dataclass(frozen=True)
class DDIMStep:
    """What the callback sees after each step.

    Attributes:
        index: number of the step, from 0.
        timestep: t the model was called with.
        latents: z after the step.
        denoised: the step's estimate of the clean latent x0.
    """

    index: int
    timestep: int
    latents: Tensor
    denoised: Tensor


@dataclass(frozen=True)
class Walk:
    """The noise levels that latents go down, and how.

    Attributes:
        schedule: noise levels by timestep.
        timesteps: falling, noisiest first; see `Schedule.trailing_timesteps`. A part of them is partial denoising.
        eta: 0 is deterministic, 1 adds as much noise as DDPM.
        clean_end: whether the last step goes all the way. The published one goes to abar_0 with the rescale of its own
            timestep, which leaves a little noise and takes some contrast: 1% with 50 steps, 6% with 12.
        averaged_end: whether the last step takes the mean of three estimates of x0: its own twice, from latents to
            which the step before has added its noise and from those to which it has added the opposite (antithetic
            variates, Hammersley and Morton 1956), so that what the noise moves x0 by cancels in first order; and that
            of the step before. With an eta of 0 it is the mean of the last two steps' estimates,
            and a single step's is its own.
    """

    schedule: Schedule
    timesteps: Sequence[int]
    eta: float
    clean_end: bool = False
    averaged_end: bool = False

    def sigma(self, index: int) -> float:
        """Standard deviation of the noise a step adds (Song et al. 2021, equation 16)."""
        now, (then, _) = float(self.schedule.alphas_bar[self.timesteps[index]]), self._after(index)
        return self.eta * ((1 - then) / (1 - now) * (1 - now / then)) ** 0.5

    def step(self, index: int, x0: Tensor, eps: Tensor, noise: Callable[[], Tensor]) -> list[Tensor]:
        """Latents after a step; a pair of them before an averaged last one."""
        (alpha_bar, rescale), sigma = self._after(index), self.sigma(index)
        latents = alpha_bar**0.5 * (x0 * rescale) + max(1 - alpha_bar - sigma**2, 0.0) ** 0.5 * eps
        if self.eta == 0:
            return [latents]
        added = sigma * noise()
        paired = self.averaged_end and index + 2 == len(self.timesteps)
        return [latents + added, latents - added] if paired else [latents + added]

    def _after(self, index: int) -> tuple[float, float]:
        """Where a step leads: abar and rescale."""
        if index + 1 < len(self.timesteps):
            signal = rescale = self.timesteps[index + 1]
        elif self.clean_end:
            return 1.0, 1.0
        else:
            signal, rescale = 0, self.timesteps[index]
        return float(self.schedule.alphas_bar[signal]), float(self.schedule.rescale[rescale])


def ddim(
    denoiser: Denoiser,
    latents: Tensor,
    walk: Walk,
    noise: Callable[[], Tensor],
    callback: Callable[[DDIMStep], None] | None = None,
) -> Tensor:
    """Walk latents down to the end.

    Args:
        denoiser: predicts v; called once a step, and twice in an averaged last one.
        latents: z at the walk's first timestep; for partial denoising, noised to it.
        walk: schedule, timesteps and eta.
        noise: standard normal noise of the latents' shape for each step; not called when eta is 0.
        callback: called after each step.

    Returns:
        latents where the walk ends, same shape

    Raises:
        NotFiniteError: the model predicted NaN or infinite values, in the step of which it did.
    """
    noisy, before = [latents], list[Tensor]()
    for index, t in enumerate(walk.timesteps):
        split = [walk.schedule.split(each, _predicted(denoiser, each, walk, index), t) for each in noisy]
        estimates = [x0 for x0, _ in split]
        averaged = walk.averaged_end and index + 1 == len(walk.timesteps)
        x0 = _mean([*estimates, *before] if averaged else estimates)
        noisy, before = walk.step(index, x0, _mean([eps for _, eps in split]), noise), estimates
        if callback is not None:
            callback(DDIMStep(index, t, noisy[0], x0))
    return noisy[0]


def _mean(tensors: Sequence[Tensor]) -> Tensor:
    return torch.stack(list(tensors)).mean(dim=0)


def _predicted(denoiser: Denoiser, latents: Tensor, walk: Walk, index: int) -> Tensor:
    """v of a step; raises NotFiniteError, see `ddim`."""
    t = walk.timesteps[index]
    v = denoiser(latents, t)
    if not is_finite(v):
        raise NotFiniteError(
            f"Step {index + 1} of {len(walk.timesteps)} (timestep {t}) gave NaN or infinite values. If the U-Net "
            "ran in bfloat16 or float32, a model file is damaged: download it again. Else run it in one of these.",
            "U-Net",
        )
    return v
