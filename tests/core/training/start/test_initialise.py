"""Weights to start from."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pytest
import torch
from small_training import FRAMES, MODEL, SIDE
from torch import Tensor, nn

from tooncrafter_core.files.checkpoint import Checkpoint
from tooncrafter_core.files.infer import infer_config
from tooncrafter_core.models.config import ModelConfig
from tooncrafter_core.models.layout import to_images
from tooncrafter_core.models.unet.blocks import ResBlock, TemporalConvStack
from tooncrafter_core.models.unet.context import CrossContext
from tooncrafter_core.models.unet.transformer import SpatialTransformer, TemporalTransformer
from tooncrafter_core.models.unet.unet import UNet
from tooncrafter_core.models.vae.autoencoder import Autoencoder
from tooncrafter_core.training.run.export import published
from tooncrafter_core.training.start.initialise import new_model, sketch_encoder, video_autoencoder

BLOCKS = (ResBlock, TemporalConvStack, SpatialTransformer, TemporalTransformer)


@pytest.fixture(scope="module")
def models() -> dict[str, nn.Module]:
    return new_model(MODEL, seed=0)


@pytest.fixture(scope="module")
def unet(models: dict[str, nn.Module]) -> UNet:
    """With random weights everywhere, as if it had been trained."""
    made = new_model(MODEL, seed=1)["unet"]
    torch.manual_seed(0)
    with torch.no_grad():
        for parameter in made.parameters():
            if not parameter.any():
                parameter.normal_(std=0.1)
    assert isinstance(made, UNet)
    return made


@pytest.fixture
def image() -> Autoencoder:
    """With no bias before the decoder, as trainings here leave it."""
    made = new_model(MODEL, seed=2)["autoencoder"]
    assert isinstance(made, Autoencoder)
    made.post_quant_conv.get_parameter("bias").zero_()
    return made


def blocks(unet: nn.Module) -> Iterator[nn.Module]:
    return (module for module in unet.modules() if isinstance(module, BLOCKS))


def inputs(channels: int = 8) -> tuple[Tensor, Tensor, Tensor, CrossContext]:
    torch.manual_seed(1)
    context = CrossContext(torch.randn(1, 77, 16), torch.randn(1, FRAMES, 16, 16))
    return torch.randn(1, channels, FRAMES, 4, 6), torch.tensor([500]), torch.tensor([12.0]), context


def test_a_new_unets_blocks_are_the_identity(models: dict[str, nn.Module]) -> None:
    """Where widths do not change, that is; elsewhere they are their shortcut."""
    seen: list[tuple[nn.Module, Tensor, Tensor]] = []
    hooks = [
        block.register_forward_hook(lambda block, ins, out: seen.append((block, ins[0], out)))
        for block in blocks(models["unet"])
    ]
    models["unet"](*inputs())
    for hook in hooks:
        hook.remove()
    assert {type(block) for block, _, _ in seen} == {*BLOCKS}
    assert len(seen) == len([*blocks(models["unet"])])
    for block, before, after in seen:
        shortcut = block.skip_connection(before) if isinstance(block, ResBlock) else before
        assert torch.equal(images(after), images(shortcut))


def images(features: Tensor) -> Tensor:
    """Of images or videos."""
    return features if features.ndim == 4 else to_images(features)


@pytest.mark.parametrize("channels", [32, 64, 96])
def test_a_new_unets_output_depends_on_every_input(channels: int) -> None:
    """Also where a norm has one channel a group."""
    unet = new_model(ModelConfig(unet=replace(MODEL.unet, model_channels=channels)), seed=0)["unet"]
    x, *others = inputs()
    out = unet(x, *others)
    for channel in range(8):
        other = x.clone()
        other[:, channel] += 0.5 * torch.randn_like(x[:, channel])
        assert (unet(other, *others) - out).abs().amax(dim=(2, 3, 4)).min() > 1e-4


def test_nothing_else_of_a_new_model_is_zero(models: dict[str, nn.Module]) -> None:
    free = {"projector": "latents", "vision": "class_embedding", "text": "positional_embedding"}
    for part, name in free.items():
        assert (models[part].get_parameter(name) != 0).all()
    assert all(p.any() for p in models["projector"].parameters() if p.ndim > 1)
    zero = {name for name, p in models["unet"].named_parameters() if p.ndim > 1 and not p.any()}
    assert len(zero) == len([*blocks(models["unet"])])


def test_the_seed_alone_decides() -> None:
    torch.manual_seed(1)
    before = torch.get_rng_state()
    first = new_model(MODEL, seed=5)
    assert torch.equal(torch.get_rng_state(), before)
    torch.manual_seed(2)
    again, other = new_model(MODEL, seed=5), new_model(MODEL, seed=6)
    for part, model in first.items():
        for name, tensor in model.state_dict().items():
            assert torch.equal(tensor, again[part].state_dict()[name])
    assert not torch.equal(first["projector"].latents, other["projector"].latents)


def test_a_new_model_is_a_complete_checkpoint(models: dict[str, nn.Module], tmp_path) -> None:
    tensors = {name: tensor for part, model in models.items() for name, tensor in published(part, model).items()}
    assert infer_config(tensors) == MODEL
    checkpoint = Checkpoint(tmp_path, tensors, MODEL)
    checkpoint.check()
    assert not checkpoint.missing_parts


@pytest.mark.parametrize("references", [False, True])
@pytest.mark.parametrize("frames", [1, 4])
def test_the_video_decoder_begins_as_the_image_decoder(image: Autoencoder, references: bool, frames: int) -> None:
    video = video_autoencoder(image, 4)
    pictures = torch.rand(2 * frames, 3, SIDE, SIDE) * 2 - 1
    encoded = video.encode_keyframes(pictures)
    assert torch.equal(encoded.latents, image.encode_keyframes(pictures).latents)
    latents = encoded.latents.unflatten(0, (2, frames)).transpose(1, 2)
    pairs = [maps.unflatten(0, (2, frames))[:, [0, -1]] for maps in encoded.features]
    decoded = video.decode_segments(latents, pairs if references else None)
    torch.testing.assert_close(decoded, image.decode_segments(latents), rtol=1e-4, atol=1e-5)


def test_a_bias_before_the_decoder_is_folded_in_but_for_the_border(image: Autoencoder) -> None:
    image.post_quant_conv.get_parameter("bias").normal_()
    video = video_autoencoder(image, 4)
    latents = torch.randn(1, 4, 8, 8)
    convolved = [image.decoder.conv_in(image.post_quant_conv(latents)), video.decoder.conv_in(latents)]
    torch.testing.assert_close(*(found[:, :, 1:-1, 1:-1] for found in convolved), rtol=1e-4, atol=1e-5)


def test_the_image_autoencoder_is_let_alone(image: Autoencoder) -> None:
    before = {name: tensor.clone() for name, tensor in image.state_dict().items()}
    video = video_autoencoder(image, 4)
    with torch.no_grad():
        for parameter in video.parameters():
            parameter.add_(1)
    assert all(torch.equal(tensor, before[name]) for name, tensor in image.state_dict().items())
    assert video.config == replace(image.config, dual_reference=True, reference_head_channels=4)


def test_a_new_sketch_encoder_changes_nothing(unet: UNet) -> None:
    encoder = sketch_encoder(unet, (4,) * 7)
    x, timesteps, rates, context = inputs()
    hint = torch.rand(1, 1, FRAMES, 32, 48)
    controls = encoder(x[:, :4], hint, timesteps, context)
    assert len(controls.skips) == len(unet.input_blocks)
    assert not any(skip.any() for skip in controls.skips)
    assert not controls.middle.any()
    assert torch.equal(unet(x, timesteps, rates, context, controls), unet(x, timesteps, rates, context))


def test_a_sketch_comes_through_the_new_hint_layers(unet: UNet) -> None:
    """As large as it went in, through eight layers without a norm; and no sketch means nothing."""
    torch.manual_seed(0)
    encoder = sketch_encoder(unet, (16, 16, 32, 32, 64, 64, 64))
    lines = (torch.rand(4, 1, 64, 64) > 0.87).float()
    assert 0.3 < encoder.input_hint_block(lines).std() < 3
    assert not encoder.input_hint_block(torch.zeros_like(lines)).any()


def test_the_sketch_encoder_begins_with_the_unets_spatial_layers(unet: UNet) -> None:
    encoder = sketch_encoder(unet, (4,) * 7)
    own, source = encoder.state_dict(), unet.state_dict()
    new = ("zero_convs.", "middle_block_out.", "input_hint_block.")
    taken = [name for name in own if not name.startswith(new)]
    assert len(taken) > 50
    for name in taken:
        origin = source[name.replace("middle_block.2.", "middle_block.3.")]
        wanted = origin[:, :4] if name == "input_blocks.0.0.weight" else origin
        assert torch.equal(own[name], wanted), name
    assert not any("temopral" in name or name.startswith("fps_embedding") for name in own)
