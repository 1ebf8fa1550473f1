"""The sketch encoder: a frame-wise ControlNet for one-channel line drawings (SPEC section 6)."""

from __future__ import annotations

import torch.nn.functional as F
from einops import rearrange
from torch import Tensor, nn

from ..config import PIXELS_PER_LATENT, SketchConfig
from ..layers import Layers
from .blocks import StageFactory, embedding_mlp, sinusoid
from .context import CrossContext
from .transformer import StepInputs
from .unet import Controls

_HINT_STRIDES = (1, 1, 2, 1, 2, 1, 2, 1)
"""Strides of the eight hint convolutions: pixel size down to latent size."""


class SketchEncoder(nn.Module):
    """The contracting path of an SD 2.x U-Net with a hint input and zero-convolution outputs.

    Args:
        config: sizes.
        layers: how to make layers.
    """

    def __init__(self, config: SketchConfig, layers: Layers | None = None) -> None:
        super().__init__()
        layers = layers or Layers()
        self.config = config
        self.before_block = layers.before_block
        make = StageFactory(layers, config, temporal=False)
        self.time_embed = embedding_mlp(layers, config)
        self.input_blocks, widths = make.contracting_path()
        self.zero_convs = nn.ModuleList([nn.Sequential(layers.conv2d(c, c, 1)) for c in widths])
        self.input_hint_block = _hint_block(layers, config)
        self.middle_block = make.middle(widths[-1])
        self.middle_block_out = nn.Sequential(layers.conv2d(widths[-1], widths[-1], 1))

    def forward(
        self, x: Tensor, hint: Tensor, timesteps: Tensor, context: CrossContext, strength: float | Tensor = 1.0
    ) -> Controls:
        """Turn sketches into additions to the U-Net's features.

        Args:
            x: noisy latents (b, in_channels, t, h, w).
            hint: white lines (1.0) on black (0.0), (b, hint_channels, t, 8 h, 8 w); a frame without a sketch
                is all black.
            timesteps: (b,), 0 to 999.
            context: text tokens; image tokens are not read.
            strength: factor on every output, or one for each frame (b, t).

        Raises:
            ValueError: the hint's size does not fit the latents.
        """
        expected = (
            x.shape[0],
            self.config.hint_channels,
            x.shape[2],
            x.shape[3] * PIXELS_PER_LATENT,
            x.shape[4] * PIXELS_PER_LATENT,
        )
        if tuple(hint.shape) != expected:
            raise ValueError(f"sketch hint has shape {tuple(hint.shape)}; expected {expected} for these latents")
        embedding = F.silu(self.time_embed(sinusoid(timesteps, self.config.model_channels).to(x.dtype)))
        step = StepInputs(embedding, context, frames=x.shape[2])
        h = rearrange(x, "b c t h w -> (b t) c h w")
        guided = rearrange(hint, "b c t h w -> (b t) c h w")
        for layer in self.input_hint_block:  # at the pictures' own size most of the work of a pass
            self.before_block()
            guided = layer(guided)
        skips: list[Tensor] = []
        for index, (stage, zero_conv) in enumerate(zip(self.input_blocks, self.zero_convs, strict=True)):
            h = stage(h, step)
            if index == 0:
                h = h + guided
            skips.append(scaled(zero_conv(h), strength))
        h = self.middle_block(h, step)
        return Controls(skips, scaled(self.middle_block_out(h), strength))


def scaled(frames: Tensor, strength: float | Tensor) -> Tensor:
    """Features (n, c, h, w) times a number, or a number for each of them (n in all), which rounds once in any dtype."""
    if not isinstance(strength, Tensor):
        return frames * strength
    return (frames * strength.float().to(frames.device).reshape(-1, 1, 1, 1)).to(frames.dtype)


def _hint_block(layers: Layers, config: SketchConfig) -> nn.Sequential:
    made: list[nn.Module] = []
    channels = config.hint_channels
    for stride, width in zip(_HINT_STRIDES, (*config.hint_widths, config.model_channels), strict=True):
        made += [layers.conv2d(channels, width, 3, stride=stride, padding=1), nn.SiLU()]
        channels = width
    return nn.Sequential(*made[:-1])
