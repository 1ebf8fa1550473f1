"""How many channels a latent has is told from the file: a whole model with 8 or 16 draws, with a sketch."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from random_checkpoint import random_tensors
from safetensors.torch import save_file
from small_training import MODEL

from tooncrafter_core import Settings, ToonCrafter, interpolate, read_checkpoint
from tooncrafter_core.models.config import ModelConfig, SketchConfig


def with_latents(channels: int) -> ModelConfig:
    assert MODEL.unet is not None and MODEL.autoencoder is not None
    return replace(
        MODEL,
        unet=replace(MODEL.unet, in_channels=2 * channels, out_channels=channels),
        autoencoder=replace(
            MODEL.autoencoder, latent_channels=channels, dual_reference=True, reference_head_channels=4
        ),
    )


def sketch_config(config: ModelConfig) -> SketchConfig:
    unet = config.unet
    assert unet is not None
    return SketchConfig(
        in_channels=unet.out_channels,
        model_channels=unet.model_channels,
        channel_mult=unet.channel_mult,
        res_blocks=unet.res_blocks,
        attention_levels=unet.attention_levels,
        head_channels=unet.head_channels,
        context_dim=unet.context_dim,
        hint_channels=1,
        hint_widths=(4,) * 7,
    )


@pytest.mark.parametrize("channels", [8, 16])
def test_a_model_with_more_latent_channels(channels: int, tmp_path: Path) -> None:
    config = with_latents(channels)
    save_file(random_tensors(config), tmp_path / "model.safetensors")
    save_file(random_tensors(ModelConfig(sketch=sketch_config(config))), tmp_path / "sketch.safetensors")
    found = read_checkpoint(tmp_path / "model.safetensors").config
    assert found.unet == config.unet and found.autoencoder == config.autoencoder
    model = ToonCrafter.load(tmp_path / "model.safetensors", tmp_path / "sketch.safetensors", dtype=torch.float32)
    settings = Settings(width=32, height=32, steps=2, frames=4, guidance_scale=1.0)
    frames = interpolate(model, torch.rand(2, 3, 32, 32), settings, {1: torch.ones(3, 32, 32)})
    assert frames.shape == (4, 3, 32, 32) and bool(frames.isfinite().all())


def test_a_sketch_encoder_of_other_latents_is_another_models() -> None:
    own, other = with_latents(8).unet, with_latents(16).unet
    assert own is not None and other is not None
    config = sketch_config(with_latents(8))
    config.check_fits(own)
    with pytest.raises(ValueError, match="in_channels is 8, the model's 16"):
        config.check_fits(other)
