"""The published schedule as ComfyUI's sigmas, so that stock samplers work.

ComfyUI's samplers walk x = x0 + sigma eps. The model's own latent is z = alpha s x0 + sqrt(1 - alpha^2) eps, with the
dynamic rescale s, so x = z / (alpha s) and sigma = sqrt(1 - alpha^2) / (alpha s).
"""

from __future__ import annotations

import torch
from comfy.model_sampling import V_PREDICTION, ModelSamplingDiscrete
from torch import Tensor

from ...tooncrafter_core.sampling.schedule import Schedule

_LEAST_ALPHA_BAR = 2.0**-24
"""Stands for the last timestep's abar of 0, which would be an infinite sigma: 1 - abar is 1 in float32 already."""


class ToonCrafterSampling(ModelSamplingDiscrete, V_PREDICTION):
    """v-prediction with zero terminal SNR and dynamic rescale.

    At `sigma_max` there is no signal: the input is pure noise there and the last timestep's abar counts as 0.
    """

    def __init__(self) -> None:
        super().__init__()
        self.schedule = Schedule.published()
        alphas_bar = self.schedule.alphas_bar.double().clamp(min=_LEAST_ALPHA_BAR)
        rescale = self.schedule.rescale
        self.set_sigmas(((1 - alphas_bar) / alphas_bar).sqrt() / rescale)
        self.register_buffer("rescale", rescale)

    def calculate_input(self, sigma: Tensor, noise: Tensor) -> Tensor:
        alpha, rescale = self._levels(sigma, noise.ndim)
        scale = torch.where(alpha > 0, alpha * rescale, 1 / _over(sigma, noise.ndim))
        return noise * scale

    def calculate_denoised(self, sigma: Tensor, model_output: Tensor, model_input: Tensor) -> Tensor:
        alpha, rescale = self._levels(sigma, model_output.ndim)
        z = self.calculate_input(sigma, model_input)
        return (alpha * z - (1 - alpha**2).sqrt() * model_output) / rescale

    def velocity(self, sigma: Tensor, denoised: Tensor, model_input: Tensor) -> Tensor:
        """The v that `calculate_denoised` turns into `denoised`; same arguments."""
        alpha, rescale = self._levels(sigma, denoised.ndim)
        z = self.calculate_input(sigma, model_input)
        return (alpha * z - rescale * denoised) / (1 - alpha**2).sqrt()

    def noise_scaling(self, sigma: Tensor, noise: Tensor, latent_image: Tensor, max_denoise: bool = False) -> Tensor:
        noise = noise * _over(sigma, noise.ndim)
        return noise if max_denoise else noise + latent_image

    def _levels(self, sigma: Tensor, dimensions: int) -> tuple[Tensor, Tensor]:
        """alpha and s at sigma; s is interpolated along log sigma between timesteps."""
        log_sigma = sigma.to(self.log_sigmas).log()
        above = torch.searchsorted(self.log_sigmas, log_sigma).clamp(1, len(self.log_sigmas) - 1)
        low, high = self.log_sigmas[above - 1], self.log_sigmas[above]
        weight = ((log_sigma - low) / (high - low)).clamp(0, 1)
        rescale = torch.lerp(self.rescale[above - 1], self.rescale[above], weight)
        has_signal = sigma.to(self.sigmas) < self.sigmas[-1]
        alpha = torch.where(has_signal, (1 + (log_sigma.exp() * rescale) ** 2).rsqrt(), 0.0)
        return _over(alpha.to(sigma), dimensions), _over(rescale.to(sigma), dimensions)


def _over(values: Tensor, dimensions: int) -> Tensor:
    """One value, or one for each item of a batch, against a tensor of so many dimensions."""
    return values.view(values.shape[:1] + (1,) * (dimensions - 1))
