"""A new autoencoder that begins as a linear one: each latent pixel holds the mean colour of its 8 x 8 pixels.

Blocks begin as the identity and resampling as averaging. What keeps a linear path open through GroupNorm and SiLU is
that a signal x goes in a group as (x, -x, c, -c): the constants c decide the group's deviation, so that x is scaled
by nearly the same factor in every picture, and SiLU(x) - SiLU(-x) = x. From layers as PyTorch draws them, the first
hundreds of steps would go into finding such a path.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from ...models.vae.autoencoder import Autoencoder, StridedConv
from ...models.vae.blocks import ImageAttention, ImageResBlock
from ...models.vae.decoder import NearestConv

_COLOURS = 3
_CONSTANT = 4.0
_FIRST_LOG_VARIANCE = -6.0
"""Of the latents: with a variance of 1, noise would drown them."""
_RIDGE = 1e-2


@torch.no_grad()
def start_linear(autoencoder: Autoencoder, images: Tensor) -> None:
    """Set every weight of an autoencoder with a plain decoder.

    Args:
        autoencoder: with 4 latent channels or more.
        images: (n, 3, H, W) in [-1, 1], to fit the last layer to.
    """
    for module in autoencoder.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, nonlinearity="linear")
            nn.init.zeros_(module.get_parameter("bias"))
    for module in autoencoder.modules():
        _pass_on(module)
    for first in (autoencoder.encoder.conv_in, autoencoder.decoder.conv_in):
        _feed_signed_pairs(first)
    _read_signed_pairs(autoencoder.encoder.conv_out, autoencoder.config.latent_channels)
    _identity(autoencoder.quant_conv)
    _identity(autoencoder.post_quant_conv)
    autoencoder.quant_conv.get_parameter("bias")[autoencoder.config.latent_channels :] = _FIRST_LOG_VARIANCE
    _fit_last_layer(autoencoder, images)


def _pass_on(module: nn.Module) -> None:
    """Make a block the identity, and a resampling layer an average."""
    if isinstance(module, ImageResBlock):
        module.conv2.get_parameter("weight").zero_()
        if isinstance(module.nin_shortcut, nn.Conv2d):
            _identity(module.nin_shortcut)
    elif isinstance(module, ImageAttention):
        module.proj_out.get_parameter("weight").zero_()
    elif isinstance(module, StridedConv):
        mean = torch.zeros(3, 3)
        mean[:2, :2] = 0.25
        _same_for_all(module.conv, mean)
    elif isinstance(module, NearestConv):
        row = torch.tensor([0.25, 0.5, 0.25])
        _same_for_all(module.conv, torch.outer(row, row))


def _same_for_all(conv: nn.Module, kernel: Tensor) -> None:
    """Convolve every channel with the same kernel (3, 3)."""
    weight = conv.get_parameter("weight")
    weight.copy_(torch.eye(len(weight))[:, :, None, None] * kernel)


def _identity(conv: nn.Module) -> None:
    """Make a 1x1 convolution pass channels on; channels it adds stay as drawn."""
    weight = conv.get_parameter("weight")
    shared = min(weight.shape[:2])
    weight[:shared] = torch.eye(shared, weight.shape[1])[:, :, None, None]


def _feed_signed_pairs(conv: nn.Module) -> None:
    """Channels 4i to 4i + 3 become x, -x, c, -c of input i."""
    weight, bias = conv.get_parameter("weight"), conv.get_parameter("bias")
    weight[: 4 * _COLOURS] = 0
    for index in range(_COLOURS):
        first = 4 * index
        weight[first, index, 1, 1], weight[first + 1, index, 1, 1] = 1, -1
        bias[first + 2], bias[first + 3] = _CONSTANT, -_CONSTANT


def _read_signed_pairs(conv: nn.Module, latents: int) -> None:
    """Output i becomes input i of `_feed_signed_pairs`, the other means little, log variances constant."""
    weight = conv.get_parameter("weight")
    weight[:latents] *= 0.05
    weight[latents:] = 0
    for index in range(_COLOURS):
        weight[index] = 0
        scale = _CONSTANT / 2**0.5  # the deviation of (x, -x, c, -c), which GroupNorm has divided by
        weight[index, 4 * index, 1, 1], weight[index, 4 * index + 1, 1, 1] = scale, -scale


def _fit_last_layer(autoencoder: Autoencoder, images: Tensor) -> None:
    """Ridge regression of the pixels on what comes into the decoder's last convolution, centre tap only."""
    inputs: list[Tensor] = []
    last = autoencoder.decoder.conv_out
    hook = last.register_forward_pre_hook(lambda module, arguments: inputs.append(arguments[0]))
    latents = autoencoder.encode_keyframes(images).latents
    autoencoder.decode_segments(latents[:, :, None])
    hook.remove()
    features = nn.functional.pad(inputs[0].permute(0, 2, 3, 1).flatten(0, 2).double(), (0, 1), value=1.0)
    pixels = images.permute(0, 2, 3, 1).flatten(0, 2).double()
    ridge = _RIDGE * len(features) * torch.eye(features.shape[1], dtype=torch.float64, device=features.device)
    solution = torch.linalg.solve(features.T @ features + ridge, features.T @ pixels).float()
    weight = last.get_parameter("weight")
    weight.zero_()
    weight[:, :, 1, 1] = solution[:-1].T
    last.get_parameter("bias").copy_(solution[-1])
