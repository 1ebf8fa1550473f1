"""DDIM sampling (Song et al. 2021, equation 12) with eta, trailing timesteps and dynamic rescale (SPEC section 4)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

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


def ddim(
    denoiser: Denoiser,
    latents: Tensor,
    schedule: Schedule,
    timesteps: list[int],
    eta: float,
    noise: Callable[[], Tensor],
    callback: Callable[[DDIMStep], None] | None = None,
) -> Tensor:
    """Walk latents down the given timesteps.

    For partial denoising, pass the tail `timesteps[k:]` and latents noised to its first entry.

    Args:
        denoiser: predicts v.
        latents: z at `timesteps[0]`.
        schedule: noise levels.
        timesteps: falling, noisiest first; see `Schedule.trailing_timesteps`.
        eta: 0 is deterministic, 1 adds as much noise as DDPM.
        noise: standard normal noise of the latents' shape for each step; not called when eta is 0.
        callback: called after each step.

    Returns:
        clean latents, same shape

    Raises:
        NotFiniteError: the model predicted NaN or infinite values, in the step of which it did.
    """
    for index, t in enumerate(timesteps):
        v = denoiser(latents, t)
        if not is_finite(v):
            raise NotFiniteError(
                f"Step {index + 1} of {len(timesteps)} (timestep {t}) gave NaN or infinite values. If the U-Net ran in "
                "bfloat16 or float32, a model file is damaged: download it again. Else run it in one of these.",
                "U-Net",
            )
        x0, eps = schedule.split(latents, v, t)
        following = timesteps[index + 1] if index + 1 < len(timesteps) else None
        latents = _step(schedule, x0, eps, t, following, eta, noise)
        if callback is not None:
            callback(DDIMStep(index, t, latents, x0))
    return latents


def ddim_sigma(schedule: Schedule, t: int, following: int | None, eta: float) -> float:
    """Standard deviation of the noise one step adds (Song et al. 2021, equation 16)."""
    now = float(schedule.alphas_bar[t])
    then = float(schedule.alphas_bar[following or 0])
    return eta * ((1 - then) / (1 - now) * (1 - now / then)) ** 0.5


def _step(
    schedule: Schedule,
    x0: Tensor,
    eps: Tensor,
    t: int,
    following: int | None,
    eta: float,
    noise: Callable[[], Tensor],
) -> Tensor:
    """One update; the last one goes to abar_0 with the rescale of its own timestep, as published."""
    alpha_bar = float(schedule.alphas_bar[following or 0])
    scaled = x0 * float(schedule.rescale[t if following is None else following])
    sigma = ddim_sigma(schedule, t, following, eta)
    latents = alpha_bar**0.5 * scaled + max(1 - alpha_bar - sigma**2, 0.0) ** 0.5 * eps
    if eta > 0:
        latents = latents + sigma * noise()
    return latents
