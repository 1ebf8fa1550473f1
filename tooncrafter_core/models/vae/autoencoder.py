"""The image encoder, and the autoencoder that pairs it with a decoder (SPEC section 5)."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from itertools import pairwise
from typing import NamedTuple

import torch
import torch.nn.functional as F
from einops import rearrange
from torch import Tensor, nn

from ..config import AutoencoderConfig
from ..layers import Layers
from .blocks import ImageResBlock, Middle
from .chunking import Chunking, Report, silent
from .decoder import Decoder


class Encoded(NamedTuple):
    """What the encoder makes of n images.

    Attributes:
        latents: posterior mean (n, c, h, w), not scaled.
        features: five maps (n, ...): one for each resolution, finest first, then the first convolution's output.
    """

    latents: Tensor
    features: list[Tensor]


class EncoderLevel(nn.Module):
    """Residual blocks of one resolution and the way to the next."""

    def __init__(self, layers: Layers, inputs: int, outputs: int, count: int, downsample: bool) -> None:
        super().__init__()
        widths = [inputs] + [outputs] * count
        self.block = nn.ModuleList([ImageResBlock(layers, a, b) for a, b in pairwise(widths)])
        self.downsample = StridedConv(layers, outputs) if downsample else nn.Identity()

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """The features of this resolution, and the input of the next."""
        for block in self.block:
            x = block(x)
        return x, self.downsample(x)


class StridedConv(nn.Module):
    """Halves height and width; pads right and bottom only, as Stable Diffusion's encoder does."""

    def __init__(self, layers: Layers, channels: int) -> None:
        super().__init__()
        self.conv = layers.conv2d(channels, channels, 3, stride=2)

    def forward(self, x: Tensor) -> Tensor:
        return self.conv(F.pad(x, (0, 1, 0, 1)))


class Encoder(nn.Module):
    """Stable Diffusion's image encoder, which also hands out the features the decoder refers to."""

    def __init__(self, config: AutoencoderConfig, layers: Layers) -> None:
        super().__init__()
        levels = range(len(config.channel_mult))
        widths = [config.channels] + [config.level_channels(level) for level in levels]
        self.conv_in = layers.conv2d(3, config.channels, 3, padding=1)
        self.down = nn.ModuleList(
            [
                EncoderLevel(layers, widths[i], widths[i + 1], config.res_blocks, downsample=i < levels[-1])
                for i in levels
            ]
        )
        self.mid = Middle(layers, widths[-1], ImageResBlock)
        self.norm_out = layers.group_norm(widths[-1], eps=1e-6)
        self.conv_out = layers.conv2d(widths[-1], 2 * config.latent_channels, 3, padding=1)

    def forward(self, images: Tensor) -> tuple[Tensor, list[Tensor]]:
        h = first = self.conv_in(images)
        features: list[Tensor] = []
        for level in self.down:
            feature, h = level(h)
            features.append(feature)
        h = self.conv_out(F.silu(self.norm_out(self.mid(h))))
        return h, [*features, first]


class Autoencoder(nn.Module):
    """Images to latents and back.

    Args:
        config: sizes, and which decoder the file has.
        layers: how to make layers.
    """

    def __init__(self, config: AutoencoderConfig, layers: Layers | None = None) -> None:
        super().__init__()
        layers = layers or Layers()
        self.config = config
        self.encoder = Encoder(config, layers)
        self.decoder = Decoder(config, layers)
        moments = 2 * config.latent_channels
        self.quant_conv = layers.conv2d(moments, moments, 1)
        self.post_quant_conv = layers.conv2d(config.latent_channels, config.latent_channels, 1)

    def moments(self, images: Tensor) -> tuple[Tensor, list[Tensor]]:
        """Posterior mean and log variance (n, 2 c, h, w), and the five feature maps, of images in [-1, 1]."""
        h, features = self.encoder(images)
        return self.quant_conv(h), features

    def encode_keyframes(self, images: Tensor) -> Encoded:
        """Encode keyframes once, for the denoiser's condition and for the decoder's references.

        Args:
            images: (n, 3, 8 h, 8 w) in [-1, 1].

        Raises:
            ValueError: sizes that are not multiples of 8.
        """
        if images.ndim != 4 or images.shape[1] != 3 or images.shape[2] % 8 or images.shape[3] % 8:
            raise ValueError(
                f"images have shape {tuple(images.shape)}; expected (n, 3, H, W) with H and W multiples of 8"
            )
        moments, features = self.moments(images)
        return Encoded(moments.chunk(2, dim=1)[0], features)

    def decode_segments(
        self,
        latents: Tensor,
        references: list[Tensor] | None = None,
        chunking: Chunking = Chunking.WHOLE,
        report: Report = silent,
    ) -> Tensor:
        """Decode segments; all frames of a segment together.

        `decoding.decode` finds the chunking that fits into memory.

        Args:
            latents: (b, c, t, h, w), not scaled.
            references: the five feature maps of the first and last keyframe, each (b, 2, ...), on any device and in
                any dtype: each goes to the latents' when its turn comes. None decodes without references, which
                loses the keyframes' detail. A plain decoder has no use for them.
            chunking: how much to work on at once; all but WHOLE are for inference only.
            report: told how far it is.

        Returns:
            frames (b, 3, t, 8 h, 8 w) in about [-1, 1]
        """
        if not self.config.dual_reference:
            frames = rearrange(latents, "b c t h w -> (b t) c h w")
            latents = rearrange(self.post_quant_conv(frames), "(b t) c h w -> b c t h w", t=latents.shape[2])
        return self.decoder(latents, references, chunking, report)

    def decode_segments_twice(
        self,
        latents: Tensor,
        references: list[Tensor] | None,
        chunking: Chunking = Chunking.WHOLE,
        report: Report = silent,
    ) -> Tensor:
        """Decode a second time without latents 1 and t - 2, and take the two centre frames from there.

        Hides a seam in the middle of a segment (SPEC section 5). Same arguments and result as `decode_segments`.
        Segments of an odd number of frames, or of fewer than 6, have no such pair and are decoded once.
        """
        frames = latents.shape[2]
        if frames < 6 or frames % 2:
            return self.decode_segments(latents, references, chunking, report)
        share = frames / (2 * frames - 2)
        out = self.decode_segments(latents, references, chunking, lambda done: report(share * done))
        kept = [i for i in range(frames) if i not in (1, frames - 2)]
        centre = frames // 2 - 1
        second = self.decode_segments(
            latents[:, :, kept], references, chunking, lambda done: report(share + (1 - share) * done)
        )
        at = kept.index(centre)
        out[:, :, centre : centre + 2] = second[:, :, at : at + 2]
        return out

    @contextmanager
    def computing_in(self, dtype: torch.dtype) -> Iterator[None]:
        """Weights in this dtype meanwhile; wider ones come back as they were."""
        own = next(self.parameters()).dtype
        self.to(dtype)
        try:
            yield
        finally:
            self.to(own)


def references_between(first: Encoded, last: Encoded) -> list[Tensor]:
    """The decoder's references for one segment: the feature maps of its two keyframes, each (1, 2, ...)."""
    return [torch.stack(pair, dim=1) for pair in zip(first.features, last.features, strict=True)]


def reference_pairs(features: list[Tensor]) -> list[Tensor]:
    """Feature maps of n keyframes in order -> of the n - 1 segments between them: each (n, ...) -> (n - 1, 2, ...)."""
    return [torch.stack([maps[:-1], maps[1:]], dim=1) for maps in features]
