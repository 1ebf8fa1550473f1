"""Weights to start from: new models, the 3D decoder from the image decoder, the sketch encoder from the U-Net."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import torch
from torch import Tensor, nn

from ...models.clip.text_tower import TextTower
from ...models.clip.vision_tower import VisionTower
from ...models.config import ModelConfig, SketchConfig
from ...models.unet.blocks import ResBlock, TemporalConvStack
from ...models.unet.projector import ImageProjector
from ...models.unet.sketch_encoder import SketchEncoder
from ...models.unet.transformer import SpatialTransformer, TemporalTransformer
from ...models.unet.unet import UNet
from ...models.vae.autoencoder import Autoencoder
from ...models.vae.decoder import ReferenceAttention, ReferenceResidual, TimeStack
from ..run.attention import TRAINING_LAYERS

_GROUPS = 32
"""Groups of every GroupNorm, see `Layers.group_norm`."""

_ANCHOR = 4.0

_SILU_MEAN_SQUARE = 0.36
_LINES_MEAN_SQUARE = 0.13
"""Of the built-in extractor's drawings of characters at 128 x 64."""

_FREE_PARAMETERS = ("latents", "positional_embedding", "class_embedding")
"""Parameters that belong to no layer, which `Layers.parameter` leaves at zero."""


def new_model(config: ModelConfig, seed: int) -> dict[str, nn.Module]:
    """New models of every size given, by part.

    Layers are drawn as PyTorch draws them. The last layer of every residual branch of the U-Net is zero, so that
    blocks begin as the identity (Goyal et al. 2017, section 5.1; Ho et al. 2020, appendix B). One channel of each
    group of its last norm begins as a constant: small models have two channels a group, and without something large
    and constant among them a norm takes away the mean and the contrast that the prediction is about.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        models = dict(_build(config))
        for model in models.values():
            _draw_free_parameters(model)
        if isinstance(unet := models.get("unet"), UNet):
            _zero_last_layers(unet)
            _anchor_output(unet)
    return models


def _build(config: ModelConfig) -> Iterator[tuple[str, nn.Module]]:
    layers = TRAINING_LAYERS
    if config.unet is not None:
        yield "unet", UNet(config.unet, layers)
    if config.autoencoder is not None:
        yield "autoencoder", Autoencoder(config.autoencoder, layers)  # see `linear_start`
    if config.projector is not None:
        yield "projector", ImageProjector(config.projector, layers)
    if config.text is not None:  # the file has one block more than the tower runs
        yield "text", TextTower(replace(config.text, layers=config.text.layers + 1), layers)
    if config.vision is not None:
        yield "vision", VisionTower(config.vision, layers)


@torch.no_grad()
def _draw_free_parameters(model: nn.Module) -> None:
    for name, parameter in model.named_parameters():
        if name.rpartition(".")[2] in _FREE_PARAMETERS:
            parameter.normal_(std=parameter.shape[-1] ** -0.5)


def _zero_last_layers(unet: UNet) -> None:
    for module in unet.modules():
        if isinstance(module, ResBlock):
            _zero(module.out_layers[-1])
        elif isinstance(module, TemporalConvStack):
            _zero(list(module.children())[-1])
        elif isinstance(module, (SpatialTransformer, TemporalTransformer)):
            _zero(module.proj_out)


@torch.no_grad()
def _anchor_output(unet: UNet) -> None:
    """Make the last channel of each group of the output's norm a constant, where that is not its only one."""
    skip = unet.get_submodule(f"output_blocks.{len(unet.output_blocks) - 1}.0.skip_connection")
    weight, bias = skip.get_parameter("weight"), skip.get_parameter("bias")
    group = len(bias) // _GROUPS
    if group > 1:
        weight[group - 1 :: group] = 0
        bias[group - 1 :: group] = _ANCHOR


@torch.no_grad()
def _zero_bias(layer: nn.Module) -> None:
    layer.get_parameter("bias").zero_()


@torch.no_grad()
def _zero(module: nn.Module) -> None:
    """Set every parameter of a layer, or of the last layer of a sequence, to zero."""
    layer = module[-1] if isinstance(module, nn.Sequential) else module
    for parameter in layer.parameters():
        parameter.zero_()


def video_autoencoder(image: Autoencoder, reference_head_channels: int) -> Autoencoder:
    """The dual-reference 3D autoencoder that gives what the image autoencoder gives, to be trained on.

    The encoder and the image layers of the decoder are taken over; the temporal layers and the reference layers
    end in zeros. The 3D decoder has no use for `post_quant_conv`, which is folded into its first convolution
    (exact where that has no bias, as in models made here).
    """
    config = replace(image.config, dual_reference=True, reference_head_channels=reference_head_channels)
    video = Autoencoder(config, TRAINING_LAYERS)
    for module in video.decoder.modules():
        if isinstance(module, TimeStack):
            _zero(module.out_layers)
        elif isinstance(module, ReferenceAttention):
            _zero(module.to_out)
        elif isinstance(module, ReferenceResidual):
            _zero(module.conv)
    _identity_over_frames(video.decoder.time_mix_conv)
    video.load_state_dict(image.state_dict(), strict=False)
    _fold_post_quant(video)
    return video


@torch.no_grad()
def _identity_over_frames(conv: nn.Module) -> None:
    """Make a (3, 1, 1) convolution pass its own frame on."""
    weight = conv.get_parameter("weight")
    weight.zero_()
    weight[:, :, 1, 0, 0] = torch.eye(len(weight))
    _zero_bias(conv)


@torch.no_grad()
def _fold_post_quant(autoencoder: Autoencoder) -> None:
    """decoder.conv_in(post_quant_conv(z)) as decoder.conv_in(z)."""
    before = autoencoder.post_quant_conv
    weight = autoencoder.decoder.conv_in.get_parameter("weight")
    bias = autoencoder.decoder.conv_in.get_parameter("bias")
    bias.add_(torch.einsum("oihw,i->o", weight, before.get_parameter("bias")))
    weight.copy_(torch.einsum("oihw,ij->ojhw", weight, before.get_parameter("weight")[:, :, 0, 0]))


def sketch_encoder(unet: UNet, hint_widths: tuple[int, ...]) -> SketchEncoder:
    """A sketch encoder whose contracting path is the U-Net's spatial layers and whose outputs are zero.

    (Zhang et al. 2023, section 3.1; the paper's section 3.4 starts from SD 2.1, which the U-Net's spatial layers
    come from.)
    """
    sizes = unet.config
    config = SketchConfig(
        in_channels=sizes.out_channels,
        model_channels=sizes.model_channels,
        channel_mult=sizes.channel_mult,
        res_blocks=sizes.res_blocks,
        attention_levels=sizes.attention_levels,
        head_channels=sizes.head_channels,
        context_dim=sizes.context_dim,
        hint_channels=1,
        hint_widths=hint_widths,
    )
    encoder = SketchEncoder(config, TRAINING_LAYERS)
    encoder.load_state_dict(_spatial_layers(unet), strict=False)
    for conv in (*encoder.zero_convs, encoder.middle_block_out):
        _zero(conv)
    _draw_hint_layers(encoder.input_hint_block)
    return encoder


def _draw_hint_layers(block: nn.Module) -> None:
    """Draw the hint convolutions so that a sketch comes out of all eight, which have no norm, as large as it went in.

    The weights' variance keeps the mean square of what goes in (He et al. 2015, section 2.2): E[silu(x)^2] for a
    standard normal x, and for the first the share of a drawing that is line. Without biases no sketch means 0.
    """
    mean_square = _LINES_MEAN_SQUARE
    for layer in block.children():
        if isinstance(layer, nn.Conv2d):
            inputs = layer.weight[0].numel()
            nn.init.normal_(layer.weight, std=(inputs * mean_square) ** -0.5)
            _zero_bias(layer)
            mean_square = _SILU_MEAN_SQUARE


def _spatial_layers(unet: UNet) -> dict[str, Tensor]:
    """The U-Net's contracting path as the sketch encoder names it; temporal layers are left in, and not looked for."""
    tensors = {
        name.replace("middle_block.3.", "middle_block.2.") if name.startswith("middle_block.3.") else name: tensor
        for name, tensor in unet.state_dict().items()
        if not name.startswith(("middle_block.2.", "output_blocks.", "out.", "init_attn.", "fps_embedding."))
    }
    noisy = "input_blocks.0.0.weight"
    tensors[noisy] = tensors[noisy][:, : unet.config.out_channels]
    return tensors
