"""A model with more latent channels begins with what a trained one with fewer has learnt."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import cast

import pytest
import torch
from small_training import MODEL, write_start

from tooncrafter_core.files.checkpoint import Checkpoint, read_checkpoint
from tooncrafter_core.models.config import LATENT_SCALE, ModelConfig
from tooncrafter_core.models.vae.autoencoder import Autoencoder
from tooncrafter_core.training.start.initialise import new_model
from tooncrafter_core.training.start.widen import start_from

MORE = 16


def wide(config: ModelConfig) -> ModelConfig:
    unet, autoencoder = config.unet, config.autoencoder
    assert unet is not None and autoencoder is not None
    return replace(
        config,
        unet=replace(unet, in_channels=2 * MORE, out_channels=MORE),
        autoencoder=replace(autoencoder, latent_channels=MORE),
    )


@pytest.fixture
def trained(tmp_path: Path) -> Checkpoint:
    write_start(tmp_path / "trained.safetensors")
    return read_checkpoint(tmp_path / "trained.safetensors")


def test_the_first_latents_are_those_of_the_trained_model(trained: Checkpoint) -> None:
    models = new_model(wide(MODEL), seed=0)
    start_from(models, trained)
    images = torch.rand(2, 3, 32, 32) * 2 - 1
    before = cast(Autoencoder, trained.load("autoencoder"))
    after = cast(Autoencoder, models["autoencoder"])
    with torch.no_grad():
        expected, found = before.moments(images)[0], after.moments(images)[0]
        torch.testing.assert_close(found[:, :4], expected[:, :4] * LATENT_SCALE)
        shift = 2 * torch.tensor(LATENT_SCALE).log()
        torch.testing.assert_close(found[:, MORE : MORE + 4], expected[:, 4:] + shift)
        latents = torch.zeros(1, MORE, 1, 4, 4)
        latents[:, :4] = expected[:1, :4, None] * LATENT_SCALE
        decoded = after.decode_segments(latents)
        torch.testing.assert_close(decoded, before.decode_segments(expected[:1, :4, None]), atol=1e-4, rtol=1e-3)


def test_noisy_latents_and_the_condition_keep_their_weights(trained: Checkpoint) -> None:
    models = new_model(wide(MODEL), seed=0)
    start_from(models, trained)
    name = "input_blocks.0.0.weight"
    old, new = trained.part("unet")[name], models["unet"].state_dict()[name]
    assert torch.equal(new[:, :4], old[:, :4]) and torch.equal(new[:, MORE : MORE + 4], old[:, 4:])


def test_other_sizes_are_refused(trained: Checkpoint) -> None:
    assert MODEL.unet is not None
    other = replace(MODEL, unet=replace(MODEL.unet, model_channels=64))
    with pytest.raises(ValueError, match=r"trained\.safetensors cannot be started from: .*expected the same sizes"):
        start_from(new_model(other, seed=0), trained)


def test_a_part_that_lacks_layers_is_refused(trained: Checkpoint) -> None:
    assert MODEL.unet is not None
    other = replace(MODEL, unet=replace(MODEL.unet, res_blocks=2))
    with pytest.raises(ValueError, match=r"\d+ missing in the file: input_blocks.*Look at model\.unet"):
        start_from(new_model(other, seed=0), trained)
