"""The dual-reference 3D decoder, and the plain image decoder as its special case (SPEC section 5)."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from itertools import pairwise

import torch
import torch.nn.functional as F
from einops import rearrange
from torch import Tensor, nn

from .config import REFERENCE_HEADS, AutoencoderConfig
from .image_blocks import ImageResBlock, Middle
from .layers import Layers


class TimeStack(nn.Module):
    """GroupNorm - SiLU - convolution over three frames, twice, plus the input; on (b, c, t, h, w)."""

    def __init__(self, layers: Layers, channels: int) -> None:
        super().__init__()
        self.in_layers = nn.Sequential(
            layers.group_norm(channels, eps=1e-5), nn.SiLU(), layers.temporal_conv(channels, channels)
        )
        self.out_layers = nn.Sequential(
            layers.group_norm(channels, eps=1e-5),
            nn.SiLU(),
            nn.Identity(),  # the published file counts a dropout here
            layers.temporal_conv(channels, channels),
        )

    def forward(self, x: Tensor) -> Tensor:
        return x + self.out_layers(self.in_layers(x))


class VideoResBlock(ImageResBlock):
    """An image residual block, blended with a temporal one by a learned factor."""

    def __init__(self, layers: Layers, inputs: int, outputs: int) -> None:
        super().__init__(layers, inputs, outputs)
        self.time_stack = TimeStack(layers, outputs)
        self.mix_factor = layers.parameter(1)

    def forward(self, x: Tensor, frames: int = 1) -> Tensor:
        video = rearrange(super().forward(x), "(b t) c h w -> b c t h w", t=frames)
        alpha = torch.sigmoid(self.mix_factor.to(video))
        mixed = torch.lerp(video, self.time_stack(video), alpha)
        return rearrange(mixed, "b c t h w -> (b t) c h w")


class ReferenceAttention(nn.Module):
    """Hybrid attention of shallow decoder layers: every frame attends to both keyframes' features."""

    def __init__(self, layers: Layers, channels: int, head_channels: int) -> None:
        super().__init__()
        inner = REFERENCE_HEADS * head_channels
        self.attention = layers.attention
        self.norm = layers.group_norm(channels, eps=1e-6)
        self.to_q = layers.linear(channels, inner, bias=False)
        self.to_k = layers.linear(channels, inner, bias=False)
        self.to_v = layers.linear(channels, inner, bias=False)
        self.to_out = nn.Sequential(layers.linear(inner, channels))

    def forward(self, x: Tensor, references: Tensor) -> Tensor:
        """x (b t, c, h, w), references (b, 2, c, h, w): the frames of a segment share one row of keys."""
        batch, height, width = references.shape[0], *x.shape[-2:]
        tokens = rearrange(references, "b r c h w -> b (r h w) c")
        q = self.to_q(rearrange(self.norm(x), "(b t) c h w -> b (t h w) c", b=batch))
        out = self.to_out(self.attention(q, self.to_k(tokens), self.to_v(tokens), REFERENCE_HEADS))
        return x + rearrange(out, "b (t h w) c -> (b t) c h w", h=height, w=width)


class ReferenceResidual(nn.Module):
    """Residual learning of deep decoder layers: each keyframe's features go to its own frame only."""

    def __init__(self, layers: Layers, channels: int) -> None:
        super().__init__()
        self.conv = layers.conv2d(channels, channels, 1)

    def forward(self, x: Tensor, references: Tensor) -> Tensor:
        """x (b t, c, h, w), references (b, 2, c, h, w)."""
        batch = references.shape[0]
        residual = rearrange(self.conv(references.flatten(0, 1)), "(b r) c h w -> b r c h w", b=batch)
        video = rearrange(x, "(b t) c h w -> b t c h w", b=batch).clone()
        video[:, 0] += residual[:, 0]
        video[:, -1] += residual[:, 1]
        return video.flatten(0, 1)


class NearestConv(nn.Module):
    """Doubles height and width, then a convolution."""

    def __init__(self, layers: Layers, channels: int) -> None:
        super().__init__()
        self.conv = layers.conv2d(channels, channels, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        return self.conv(F.interpolate(x, scale_factor=2.0, mode="nearest"))


class DecoderLevel(nn.Module):
    """Residual blocks of one resolution and the way to the next finer one."""

    def __init__(
        self,
        layers: Layers,
        widths: list[int],
        upsample: bool,
        block: type[ImageResBlock],
    ) -> None:
        super().__init__()
        self.block = nn.ModuleList([block(layers, a, b) for a, b in pairwise(widths)])
        self.upsample = NearestConv(layers, widths[-1]) if upsample else None

    def forward(self, x: Tensor, frames: int, refer: Callable[[Tensor], Tensor]) -> Tensor:
        """`refer` adds the references of this resolution, before the upsampling."""
        for block in self.block:
            x = block(x, frames)
        x = refer(x)
        return x if self.upsample is None else self.upsample(x)


class Decoder(nn.Module):
    """Latents of whole segments, and two keyframes' feature maps, to frames."""

    def __init__(self, config: AutoencoderConfig, layers: Layers) -> None:
        super().__init__()
        self.config = config
        block = VideoResBlock if config.dual_reference else ImageResBlock
        count = len(config.channel_mult)
        channels = [config.level_channels(level) for level in range(count)]
        self.conv_in = layers.conv2d(config.latent_channels, channels[-1], 3, padding=1)
        self.mid = Middle(layers, channels[-1], block)
        self.up = nn.ModuleList(
            [
                DecoderLevel(
                    layers,
                    [channels[min(level + 1, count - 1)], *[channels[level]] * (config.res_blocks + 1)],
                    upsample=level > 0,
                    block=block,
                )
                for level in range(count)
            ]
        )
        self.norm_out = layers.group_norm(config.channels, eps=1e-6)
        self.conv_out = layers.conv2d(config.channels, 3, 3, padding=1)
        if config.dual_reference:
            self.time_mix_conv = layers.temporal_conv(3, 3)
            self.attn_refinement = nn.ModuleList(
                [
                    ReferenceAttention(layers, width, config.reference_head_channels)
                    if level >= count - 2
                    else ReferenceResidual(layers, width)
                    for level, width in enumerate(channels)
                ]
                + [ReferenceResidual(layers, config.channels)]
            )

    def forward(self, latents: Tensor, references: list[Tensor] | None = None) -> Tensor:
        """Decode (b, c, t, h, w) to (b, 3, t, 8 h, 8 w); see `Autoencoder.decode_segments`."""
        frames = latents.shape[2]
        h = self.conv_in(rearrange(latents, "b c t h w -> (b t) c h w"))
        h = self.mid(h, frames)
        for level in reversed(range(len(self.up))):
            h = self.up[level](h, frames, partial(self._refer, level, references))
        h = self._refer(len(self.up), references, F.silu(self.norm_out(h), inplace=True))
        video = rearrange(self.conv_out(h), "(b t) c h w -> b c t h w", t=frames)
        return self.time_mix_conv(video) if self.config.dual_reference else video

    def _refer(self, index: int, references: list[Tensor] | None, h: Tensor) -> Tensor:
        if references is None or not self.config.dual_reference:
            return h
        return self.attn_refinement[index](h, references[index])
