"""Residual block and attention of Stable Diffusion's autoencoder, image by image (SPEC section 5)."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from einops import rearrange
from torch import Tensor, nn

from ..layers import Layers


class ImageResBlock(nn.Module):
    """GroupNorm - SiLU - convolution, twice, plus the input (through a 1x1 convolution where channels change)."""

    def __init__(self, layers: Layers, inputs: int, outputs: int) -> None:
        super().__init__()
        self.before_block = layers.before_block
        self.norm1 = layers.group_norm(inputs, eps=1e-6)
        self.conv1 = layers.conv2d(inputs, outputs, 3, padding=1)
        self.norm2 = layers.group_norm(outputs, eps=1e-6)
        self.conv2 = layers.conv2d(outputs, outputs, 3, padding=1)
        self.nin_shortcut = nn.Identity() if inputs == outputs else layers.conv2d(inputs, outputs, 1)

    def forward(self, x: Tensor) -> Tensor:
        return torch.add(*self.branches(x))

    def branches(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """The input, or its shortcut, and what is added to it."""
        self.before_block()
        h = self.conv1(F.silu(self.norm1(x), inplace=True))
        h = self.conv2(F.silu(self.norm2(h), inplace=True))
        return self.nin_shortcut(x), h


class ImageAttention(nn.Module):
    """Single-head attention over the pixels of each image."""

    def __init__(self, layers: Layers, channels: int) -> None:
        super().__init__()
        self.before_block = layers.before_block
        self.attention = layers.attention
        self.norm = layers.group_norm(channels, eps=1e-6)
        self.q = layers.conv2d(channels, channels, 1)
        self.k = layers.conv2d(channels, channels, 1)
        self.v = layers.conv2d(channels, channels, 1)
        self.proj_out = layers.conv2d(channels, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        self.before_block()
        normed = self.norm(x)
        q, k, v = (rearrange(f(normed), "n c h w -> n (h w) c") for f in (self.q, self.k, self.v))
        out = rearrange(self.attention(q, k, v, 1), "n (h w) c -> n c h w", h=x.shape[-2])
        return x + self.proj_out(out)


class Middle(nn.Module):
    """Residual block, attention over the pixels, residual block, at the coarsest resolution."""

    def __init__(self, layers: Layers, channels: int, block: type[ImageResBlock]) -> None:
        super().__init__()
        self.block_1 = block(layers, channels, channels)
        self.attn_1 = ImageAttention(layers, channels)
        self.block_2 = block(layers, channels, channels)

    def forward(self, x: Tensor) -> Tensor:
        return self.block_2(self.attn_1(self.block_1(x)))
