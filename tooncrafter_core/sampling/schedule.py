"""The noise schedule and the v-parameterisation (SPEC section 4).

A noisy latent at timestep t is z = alpha_t s_t x0 + sigma_t eps with alpha_t^2 + sigma_t^2 = 1, where s_t is the
dynamic rescale; the model predicts v = alpha_t eps - sigma_t s_t x0 (Salimans and Ho 2022, appendix D).
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

_BETA_START, _BETA_END = 0.00085, 0.012
_RESCALE_STEPS, _RESCALE_END = 400, 0.7


def _zero_terminal_snr(alphas_bar: Tensor) -> Tensor:
    """Shift and scale sqrt(abar) so that its last value is 0 and its first stays (Lin et al. 2023, algorithm 1)."""
    root = alphas_bar.sqrt()
    first, last = root[0], root[-1]
    return ((root - last) * first / (first - last)) ** 2


@dataclass(frozen=True)
class Schedule:
    """Noise levels by timestep, and the conversions between x0, eps and v.

    Attributes:
        alphas_bar: cumulative signal power abar_t (1000,), float32; the last is 0.
        rescale: dynamic rescale s_t of the clean latent (1000,), float32.
    """

    alphas_bar: Tensor
    rescale: Tensor

    @staticmethod
    def published(timesteps: int = 1000) -> Schedule:
        """The schedule every published checkpoint was trained with."""
        roots = torch.linspace(_BETA_START**0.5, _BETA_END**0.5, timesteps, dtype=torch.float64)
        alphas_bar = _zero_terminal_snr(torch.cumprod(1 - roots**2, dim=0))
        falling = torch.linspace(1.0, _RESCALE_END, _RESCALE_STEPS, dtype=torch.float64)
        rescale = torch.cat([falling, torch.full((timesteps - _RESCALE_STEPS,), _RESCALE_END)])
        return Schedule(alphas_bar.float(), rescale.float())

    def __len__(self) -> int:
        return len(self.alphas_bar)

    def trailing_timesteps(self, steps: int) -> list[int]:
        """Evenly spaced timesteps that begin with the last one (Lin et al. 2023, table 2), noisiest first.

        Raises:
            ValueError: steps outside 1 to 1000.
        """
        if not 1 <= steps <= len(self):
            raise ValueError(f"steps is {steps}; expected 1 to {len(self)}")
        return [round(len(self) - i * len(self) / steps) - 1 for i in range(steps)]

    def noise(self, t: int) -> float:
        """sigma_t: what the noise is multiplied by in z."""
        return float((1 - self.alphas_bar[t]).sqrt())

    def noisy_and_velocity(self, x0: Tensor, eps: Tensor, timesteps: Tensor) -> tuple[Tensor, Tensor]:
        """z and v of clean latents (b, ...) with noise of the same shape, at a timestep for each (b,)."""
        shape = (-1, *[1] * (x0.ndim - 1))
        bars = self.alphas_bar.to(x0)[timesteps].view(shape)
        clean = self.rescale.to(x0)[timesteps].view(shape) * x0
        alpha, sigma = bars.sqrt(), (1 - bars).sqrt()
        return alpha * clean + sigma * eps, alpha * eps - sigma * clean

    def split(self, z: Tensor, v: Tensor, t: int) -> tuple[Tensor, Tensor]:
        """z and the model's v at timestep t -> (x0, eps)."""
        alpha, sigma = float(self.alphas_bar[t].sqrt()), self.noise(t)
        return (alpha * z - sigma * v) / float(self.rescale[t]), alpha * v + sigma * z

    def velocity(self, z: Tensor, x0: Tensor, t: int) -> Tensor:
        """The v that `split` turns into x0; the way back from a denoiser that answers with x0."""
        return (float(self.alphas_bar[t].sqrt()) * z - float(self.rescale[t]) * x0) / self.noise(t)
