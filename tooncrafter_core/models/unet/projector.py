"""The image-context projector: vision tokens to image tokens for every frame (SPEC section 3)."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from einops import rearrange
from torch import Tensor, nn

from ..config import TOKENS_PER_FRAME, ProjectorConfig
from ..layers import Layers


class PerceiverAttention(nn.Module):
    """Queries attend to [vision tokens; queries] (Jaegle et al. 2021; Alayrac et al. 2022, figure 5)."""

    def __init__(self, layers: Layers, config: ProjectorConfig) -> None:
        super().__init__()
        self.heads = config.heads
        self.attention = layers.attention
        self.norm1 = layers.layer_norm(config.width)
        self.norm2 = layers.layer_norm(config.width)
        self.to_q = layers.linear(config.width, config.inner_dim, bias=False)
        self.to_kv = layers.linear(config.width, 2 * config.inner_dim, bias=False)
        self.to_out = layers.linear(config.inner_dim, config.width, bias=False)

    def forward(self, vision: Tensor, queries: Tensor) -> Tensor:
        vision, queries = self.norm1(vision), self.norm2(queries)
        k, v = self.to_kv(torch.cat([vision, queries], dim=1)).chunk(2, dim=-1)
        return self.to_out(self.attention(self.to_q(queries), k, v, self.heads))


class ProjectorLayer(nn.ModuleList):
    """Perceiver attention and a GELU feed-forward, each pre-norm and residual."""

    def __init__(self, layers: Layers, config: ProjectorConfig) -> None:
        feed_forward = nn.Sequential(
            layers.layer_norm(config.width),
            layers.linear(config.width, config.feed_forward_dim, bias=False),
            nn.GELU(),
            layers.linear(config.feed_forward_dim, config.width, bias=False),
        )
        super().__init__([PerceiverAttention(layers, config), feed_forward])

    def forward(self, vision: Tensor, queries: Tensor) -> Tensor:
        attention, feed_forward = self
        queries = queries + attention(vision, queries)
        return queries + feed_forward(queries)


class ImageProjector(nn.Module):
    """A perceiver resampler with 16 learned queries for each frame.

    Args:
        config: sizes.
        layers: how to make layers.
    """

    def __init__(self, config: ProjectorConfig, layers: Layers | None = None) -> None:
        super().__init__()
        layers = layers or Layers()
        self.config = config
        self.latents = layers.parameter(1, config.frames * TOKENS_PER_FRAME, config.width)
        self.proj_in = layers.linear(config.input_dim, config.width)
        self.proj_out = layers.linear(config.width, config.output_dim)
        self.norm_out = layers.layer_norm(config.output_dim)
        self.layers = nn.ModuleList([ProjectorLayer(layers, config) for _ in range(config.depth)])

    def forward(self, vision: Tensor) -> Tensor:
        """Project vision tokens.

        Args:
            vision: (b, n, input_dim).

        Returns:
            image tokens for each trained frame (b, config.frames, 16, output_dim)
        """
        vision = self.proj_in(vision)
        queries = self.latents.to(vision).expand(len(vision), -1, -1)
        for layer in self.layers:
            queries = layer(vision, queries)
        tokens = self.norm_out(self.proj_out(queries))
        return rearrange(tokens, "b (t n) d -> b t n d", t=self.config.frames)


def resample_frames(tokens: Tensor, frames: int) -> Tensor:
    """Spread per-frame image tokens evenly over another number of frames; first stays first, last stays last.

    Args:
        tokens: (b, t, n, d).
        frames: wanted number of frames.

    Returns:
        (b, frames, n, d); `tokens` itself when t is already `frames`.
    """
    if tokens.shape[1] == frames:
        return tokens
    rows = rearrange(tokens, "b t n d -> b (n d) t")
    resampled = F.interpolate(rows, size=frames, mode="linear", align_corners=True)
    return rearrange(resampled, "b (n d) t -> b t n d", n=tokens.shape[2]).contiguous()
