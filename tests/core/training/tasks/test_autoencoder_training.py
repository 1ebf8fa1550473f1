"""The image autoencoder's training: what moves, what is written, and that latents come out at unit deviation."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from accelerate import Accelerator
from safetensors.torch import load_file
from small_training import MODEL, SIDE, Workshop, make, moving_square, run
from torch import Tensor

from tooncrafter_core import read_checkpoint
from tooncrafter_core.models.config import LATENT_SCALE
from tooncrafter_core.models.vae.autoencoder import Autoencoder
from tooncrafter_core.training.clips.draws import Draws, collate
from tooncrafter_core.training.run.engine import Run
from tooncrafter_core.training.run.export import published
from tooncrafter_core.training.start.initialise import new_model
from tooncrafter_core.training.tasks.autoencoder import clip_stream, side_by_side, with_unit_latents


@pytest.fixture(scope="module")
def autoencoder() -> Autoencoder:
    """Random weights, with no bias before the decoder, as trainings here leave it."""
    made = new_model(MODEL, seed=3)["autoencoder"]
    assert isinstance(made, Autoencoder)
    made.post_quant_conv.get_parameter("bias").requires_grad_(False).zero_()
    return made


@pytest.fixture(scope="module")
def pictures() -> Tensor:
    return torch.cat([moving_square(number)[:, :, :SIDE, :SIDE] for number in range(2)]) * 2 - 1


def test_unit_latents(autoencoder: Autoencoder, pictures: Tensor) -> None:
    before = {name: tensor.clone() for name, tensor in autoencoder.state_dict().items()}
    scaled = with_unit_latents(autoencoder, pictures)
    latents = scaled.encode_keyframes(pictures).latents * LATENT_SCALE
    torch.testing.assert_close(latents.std(dim=(0, 2, 3)), torch.ones(4), rtol=1e-4, atol=1e-4)
    found = []
    for model in (autoencoder, scaled):
        mean, log_variance = model.moments(pictures)[0].chunk(2, dim=1)
        noise = torch.randn(mean.shape, generator=torch.Generator().manual_seed(0))
        found.append(model.decode_segments((mean + (0.5 * log_variance).exp() * noise)[:, :, None]))
    torch.testing.assert_close(found[1], found[0], rtol=1e-4, atol=1e-4)
    assert all(torch.equal(tensor, before[name]) for name, tensor in autoencoder.state_dict().items())


@torch.enable_grad()
def test_every_tensor_moves_but_one(workshop: Workshop, tmp_path: Path) -> None:
    model = workshop.entries("autoencoder", tmp_path)["model"]
    wider = model | {"autoencoder": model["autoencoder"] | {"channels": 64}}
    settings = workshop.settings("autoencoder", tmp_path, model=wider, save_every=9, sample_every=9)
    task = make(settings)
    trained = task.players["autoencoder"].autoencoder
    before = {name: tensor.detach().clone() for name, tensor in trained.named_parameters()}
    Run(task, settings, Accelerator(cpu=True)).go()
    still = {name for name, tensor in trained.named_parameters() if torch.equal(tensor, before[name])}
    assert still == {"post_quant_conv.bias"}
    assert not trained.post_quant_conv.bias.any()


def test_the_checkpoint(workshop: Workshop, tmp_path: Path) -> None:
    """The other parts are as drawn; latents of the training pictures have unit deviation."""
    settings = workshop.settings("autoencoder", tmp_path, steps=2)
    checkpoint = read_checkpoint(run(settings))
    assert checkpoint.config == MODEL
    drawn = new_model(MODEL, settings.seed)
    for part in ("unet", "projector", "text", "vision"):
        for name, tensor in published(part, drawn[part]).items():
            assert torch.equal(checkpoint.tensors[name], tensor)
    autoencoder = checkpoint.load("autoencoder")
    assert isinstance(autoencoder, Autoencoder)
    draws = Draws(clip_stream(settings, 1, 1))
    images = collate([draws[n] for n in range(32)]).video[:, :, 0]
    latents = autoencoder.encode_keyframes(images).latents * LATENT_SCALE
    torch.testing.assert_close(latents.std(dim=(0, 2, 3)), torch.ones(4), rtol=1e-3, atol=1e-3)


def test_the_loss(workshop: Workshop, tmp_path: Path) -> None:
    settings = workshop.settings("autoencoder", tmp_path, kl_weight=0.25, perceptual_weight=0.5)
    task = make(settings)
    batch = task.collate([task.draws()[n] for n in range(2)])
    loss = task.players["autoencoder"](batch, torch.Generator().manual_seed(0), 0)
    parts = {name: float(part) for name, part in loss.parts.items()}
    assert parts.keys() == {"l1", "kl", "perceptual"} and min(parts.values()) > 0
    assert float(loss.total) == pytest.approx(parts["l1"] + 0.25 * parts["kl"] + 0.5 * parts["perceptual"], rel=1e-5)
    mean, log_variance = (
        task.players["autoencoder"].autoencoder.moments(batch.video[:, :, 0])[0].double().chunk(2, dim=1)
    )
    posterior = torch.distributions.Normal(mean, (0.5 * log_variance).exp())
    standard = torch.distributions.Normal(torch.zeros_like(mean), torch.ones_like(mean))
    assert parts["kl"] == pytest.approx(float(torch.distributions.kl_divergence(posterior, standard).mean()), rel=1e-4)


def test_without_a_perceptual_distance(workshop: Workshop, tmp_path: Path) -> None:
    """Pictures can be smaller then."""
    run(workshop.settings("autoencoder", tmp_path, perceptual=[], width=16, height=24, steps=1))
    assert (tmp_path / "metrics.csv").read_text().startswith("step,l1,kl,autoencoder_gradient,skipped")
    assert load_file(tmp_path / "model.safetensors")


def test_side_by_side() -> None:
    rows = [torch.full((2, 3, 4, 5), value) for value in (-1.0, 0.0, 3.0)]
    picture = side_by_side(*rows)
    assert picture.shape == (3, 12, 10)
    assert picture[:, ::4, 0].unique().tolist() == [0, 0.5, 1]
