"""The pre-norm transformer that OpenCLIP's text and vision towers share."""

from __future__ import annotations

from collections import OrderedDict

from torch import Tensor, nn

from ..config import TowerConfig
from ..layers import Layers


class TowerAttention(nn.Module):
    """Self-attention with one projection for queries, keys and values."""

    def __init__(self, layers: Layers, config: TowerConfig) -> None:
        super().__init__()
        self.heads = config.heads
        self.attention = layers.attention
        self.in_proj = layers.linear(config.width, 3 * config.width)
        self.out_proj = layers.linear(config.width, config.width)

    def forward(self, x: Tensor, mask: Tensor | None) -> Tensor:
        q, k, v = self.in_proj(x).chunk(3, dim=-1)
        return self.out_proj(self.attention(q, k, v, self.heads, mask=mask))


class TowerBlock(nn.Module):
    """Attention and a GELU feed-forward, each with a LayerNorm before it and a residual around it."""

    def __init__(self, layers: Layers, config: TowerConfig) -> None:
        super().__init__()
        self.ln_1 = layers.layer_norm(config.width)
        self.attn = TowerAttention(layers, config)
        self.ln_2 = layers.layer_norm(config.width)
        self.mlp = nn.Sequential(
            OrderedDict(
                c_fc=layers.linear(config.width, config.feed_forward_dim),
                gelu=nn.GELU(),
                c_proj=layers.linear(config.feed_forward_dim, config.width),
            )
        )

    def forward(self, x: Tensor, mask: Tensor | None) -> Tensor:
        x = x + self.attn(self.ln_1(x), mask)
        return x + self.mlp(self.ln_2(x))


class TowerTransformer(nn.Module):
    """`count` blocks, one after the other."""

    def __init__(self, layers: Layers, config: TowerConfig, count: int) -> None:
        super().__init__()
        self.resblocks = nn.ModuleList([TowerBlock(layers, config) for _ in range(count)])

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        for block in self.resblocks:
            x = block(x, mask)
        return x
