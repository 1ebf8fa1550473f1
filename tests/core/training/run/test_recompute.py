"""Gradient checkpointing: the same loss and gradients, with activations made again."""

from __future__ import annotations

import copy
from collections.abc import Callable

import pytest
import torch
from small_training import FRAMES, MODEL, SIDE
from torch import Tensor, nn

from tooncrafter_core.models.unet.blocks import ResBlock
from tooncrafter_core.models.unet.context import CrossContext
from tooncrafter_core.models.unet.transformer import SpatialTransformer, TemporalTransformer
from tooncrafter_core.models.unet.unet import UNet
from tooncrafter_core.models.vae.autoencoder import Autoencoder
from tooncrafter_core.models.vae.blocks import ImageAttention, ImageResBlock
from tooncrafter_core.models.vae.decoder import Decoder, ReferenceAttention
from tooncrafter_core.training.run.recompute import recompute_blocks
from tooncrafter_core.training.start.initialise import new_model, sketch_encoder, video_autoencoder
from tooncrafter_core.training.tasks.autoencoder import with_unit_latents

LATENTS = (1, 4, FRAMES, 4, 4)
BLOCKS = (ResBlock, SpatialTransformer, TemporalTransformer, ImageResBlock, ImageAttention, ReferenceAttention)


def noisy(model: nn.Module) -> nn.Module:
    """No tensor is zero, so that every one gets a gradient."""
    torch.manual_seed(0)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.05 * torch.randn_like(parameter))
    return model


def a_unet() -> UNet:
    unet = noisy(new_model(MODEL, 0)["unet"])
    assert isinstance(unet, UNet)
    return unet


def an_autoencoder() -> Autoencoder:
    autoencoder = new_model(MODEL, 0)["autoencoder"]
    assert isinstance(autoencoder, Autoencoder)
    return autoencoder


def a_decoder() -> Decoder:
    torch.manual_seed(0)
    decoder = noisy(video_autoencoder(an_autoencoder(), 4).decoder)
    assert isinstance(decoder, Decoder)
    return decoder


def draw(*shape: int) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(3))


def of_unet(unet: nn.Module) -> Tensor:
    context = CrossContext(draw(1, 77, 16), draw(1, FRAMES, 16, 16), keep=False)
    return unet(draw(1, 8, *LATENTS[2:]), torch.tensor([400]), torch.tensor([8.0]), context).square().mean()


def of_sketch(encoder: nn.Module) -> Tensor:
    context = CrossContext(draw(1, 77, 16), keep=False)
    controls = encoder(draw(*LATENTS), draw(1, 1, FRAMES, SIDE, SIDE), torch.tensor([400]), context)
    return sum(skip.square().mean() for skip in controls.skips) + controls.middle.square().mean()


def of_decoder(decoder: nn.Module) -> Tensor:
    references = [draw(1, 2, 32, SIDE // size, SIDE // size) for size in (1, 2, 4, 8, 1)]
    return decoder(draw(*LATENTS), references).square().mean()


def of_autoencoder(autoencoder: nn.Module) -> Tensor:
    moments = autoencoder.moments(draw(2, 3, SIDE, SIDE))[0]
    return autoencoder.decode_segments(moments[:, :4, None]).square().mean()


@pytest.mark.parametrize(
    ("make", "loss"),
    [
        (a_unet, of_unet),
        (lambda: noisy(sketch_encoder(a_unet(), (4,) * 7)), of_sketch),
        (a_decoder, of_decoder),
        (lambda: noisy(an_autoencoder()), of_autoencoder),
    ],
    ids=["unet", "sketch", "decoder", "autoencoder"],
)
@torch.enable_grad()
def test_the_same_gradients(make: Callable[[], nn.Module], loss: Callable[[nn.Module], Tensor]) -> None:
    plain, recomputed = make(), make()
    recompute_blocks(recomputed)
    runs: list[str] = []
    for name, module in recomputed.named_modules():
        if isinstance(module, BLOCKS):
            for inner in list(module.children())[:1]:
                inner.register_forward_hook(lambda inner, ins, out, name=name: runs.append(name))
    losses = [loss(model) for model in (plain, recomputed)]
    once = len(runs)
    for value in losses:
        value.backward()
    assert torch.equal(*losses)
    assert once > 5 and len(runs) == 2 * once, "not every block ran again"
    for (name, one), (_, other) in zip(plain.named_parameters(), recomputed.named_parameters(), strict=True):
        if one.grad is None:
            assert other.grad is None, name
        else:
            torch.testing.assert_close(other.grad, one.grad, rtol=1e-5, atol=1e-7, msg=name)
    without = [name for name, parameter in plain.named_parameters() if parameter.grad is None]
    assert len(without) == 0


@torch.enable_grad()
def test_a_block_that_does_not_train_passes_gradients_on() -> None:
    """As the frozen denoiser does in the sketch encoder's training."""
    plain, recomputed = a_unet(), a_unet()
    recompute_blocks(recomputed)
    found = []
    for unet in (plain, recomputed):
        unet.requires_grad_(False)
        x = draw(1, 8, *LATENTS[2:]).requires_grad_()
        context = CrossContext(draw(1, 77, 16), draw(1, FRAMES, 16, 16), keep=False)
        unet(x, torch.tensor([400]), torch.tensor([8.0]), context).square().mean().backward()
        found.append(x.grad)
    assert found[0].any()
    torch.testing.assert_close(*found, rtol=1e-5, atol=1e-8)


def test_a_copy_runs_its_own_layers() -> None:
    """A checkpoint is written from a copy of the autoencoder."""
    autoencoder = an_autoencoder()
    recompute_blocks(autoencoder)
    copied = copy.deepcopy(autoencoder)
    pictures = draw(2, 3, SIDE, SIDE)
    before = copied.moments(pictures)[0]
    noisy(autoencoder)
    assert torch.equal(copied.moments(pictures)[0], before)
    assert not torch.equal(autoencoder.moments(pictures)[0], before)
    assert with_unit_latents(autoencoder, pictures).moments(pictures)[0].isfinite().all()
