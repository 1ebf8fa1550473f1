"""A new autoencoder gives pictures back from the start, coarsely."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from small_training import MODEL, moving_square

from tooncrafter_core.models.config import LATENT_SCALE, ModelConfig
from tooncrafter_core.training.start.initialise import new_model
from tooncrafter_core.training.start.linear_start import start_linear
from tooncrafter_core.training.tasks.autoencoder import with_unit_latents


@pytest.mark.parametrize("channels", [64, 128])
def test_pictures_come_back(channels: int) -> None:
    """With more of their colours than a flat grey has, where norms have channels to spare."""
    config = ModelConfig(autoencoder=replace(MODEL.autoencoder, channels=channels))
    autoencoder = new_model(config, seed=0)["autoencoder"]
    torch.manual_seed(0)
    pictures = torch.cat([moving_square(number)[::2, :, :32, :32] for number in range(3)]) * 2 - 1
    start_linear(autoencoder, pictures)
    mean, log_variance = autoencoder.moments(pictures)[0].chunk(2, dim=1)
    decoded = autoencoder.decode_segments(mean[:, :, None])[:, :, 0]
    flat = pictures.mean(dim=(2, 3), keepdim=True)
    assert (decoded - pictures).square().mean() < 0.6 * (flat - pictures).square().mean()
    assert log_variance.mean() == pytest.approx(-6, abs=1e-3)
    assert mean[:, :3].std() > 2 * (0.5 * log_variance).exp().mean(), "noise drowns the latents"
    assert not autoencoder.post_quant_conv.get_parameter("bias").any()


def test_its_latents_can_be_brought_to_unit_deviation() -> None:
    autoencoder = new_model(ModelConfig(autoencoder=MODEL.autoencoder), seed=0)["autoencoder"]
    pictures = moving_square(0)[:, :, :32, :32] * 2 - 1
    start_linear(autoencoder, pictures)
    latents = with_unit_latents(autoencoder, pictures).encode_keyframes(pictures).latents * LATENT_SCALE
    torch.testing.assert_close(latents.std(dim=(0, 2, 3)), torch.ones(4), rtol=1e-3, atol=1e-3)
