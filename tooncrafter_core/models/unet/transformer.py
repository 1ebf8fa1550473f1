"""Spatial and temporal transformers of the U-Net and the sketch encoder (SPEC section 2)."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from einops import rearrange
from torch import Tensor, nn

from ..layers import Layers
from ..layout import contiguous, to_video
from .context import CrossContext, KeysValues


@dataclass(frozen=True)
class StepInputs:
    """What every block of one forward pass may need besides its features.

    Attributes:
        embedding: timestep (and frame rate) embedding (b, e), after its last SiLU.
        context: text and image tokens.
        frames: t; features are (b t, c, h, w).
    """

    embedding: Tensor
    context: CrossContext
    frames: int


class GEGLU(nn.Module):
    """Linear unit gated by an exact GELU (Shazeer 2020, equation 5)."""

    def __init__(self, layers: Layers, inputs: int, outputs: int) -> None:
        super().__init__()
        self.proj = layers.linear(inputs, 2 * outputs)

    def forward(self, x: Tensor) -> Tensor:
        values, gates = self.proj(x).chunk(2, dim=-1)
        return F.gelu(gates).mul_(values)


class FeedForward(nn.Module):
    """GEGLU feed-forward, hidden width four times the input's."""

    def __init__(self, layers: Layers, channels: int) -> None:
        super().__init__()
        self.net = nn.Sequential(
            GEGLU(layers, channels, 4 * channels),
            nn.Identity(),  # the published file counts a dropout here
            layers.linear(4 * channels, channels),
        )

    def forward(self, x: Tensor) -> Tensor:
        return self.net(x)


class SelfAttention(nn.Module):
    """Attention of a row of tokens (n, tokens, c) to itself; no bias on q, k, v."""

    def __init__(self, layers: Layers, channels: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.attention = layers.attention
        self.to_q = layers.linear(channels, channels, bias=False)
        self.to_k = layers.linear(channels, channels, bias=False)
        self.to_v = layers.linear(channels, channels, bias=False)
        self.to_out = nn.Sequential(layers.linear(channels, channels))

    def forward(self, x: Tensor) -> Tensor:
        return self.to_out(self.attention(self.to_q(x), self.to_k(x), self.to_v(x), self.heads))


class CrossAttention(nn.Module):
    """Attention of each frame's tokens to the text and, with `image_tokens`, to the image tokens; both added."""

    def __init__(self, layers: Layers, channels: int, heads: int, context_dim: int, image_tokens: bool) -> None:
        super().__init__()
        self.heads = heads
        self.attention = layers.attention
        self.image_tokens = image_tokens
        self.to_q = layers.linear(channels, channels, bias=False)
        self.to_k = layers.linear(context_dim, channels, bias=False)
        self.to_v = layers.linear(context_dim, channels, bias=False)
        if image_tokens:
            self.to_k_ip = layers.linear(context_dim, channels, bias=False)
            self.to_v_ip = layers.linear(context_dim, channels, bias=False)
        self.to_out = nn.Sequential(layers.linear(channels, channels))

    def forward(self, x: Tensor, context: CrossContext) -> Tensor:
        q = self.to_q(x)
        first, *rest = context.keys_values(self, lambda: self._make_keys_values(context))
        out = self._attend(q, *first)
        for keys_values in rest:
            out = out + self._attend(q, *keys_values)
        return self.to_out(out)

    def _make_keys_values(self, context: CrossContext) -> tuple[KeysValues, ...]:
        text = (self.to_k(context.text), self.to_v(context.text))
        image = context.image_rows if self.image_tokens else None
        if image is None:
            return (text,)
        return text, (self.to_k_ip(image), self.to_v_ip(image))

    def _attend(self, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        """Rows of q that share a row of keys become one longer row, so that keys are never repeated."""
        rows = q.reshape(k.shape[0], -1, q.shape[-1])
        return self.attention(rows, k, v, self.heads).reshape(q.shape)


class TransformerBlock(nn.Module):
    """Two attentions and a feed-forward, each with a LayerNorm before it and a residual around it."""

    def __init__(self, layers: Layers, channels: int, attn1: nn.Module, attn2: nn.Module) -> None:
        super().__init__()
        self.attn1 = attn1
        self.attn2 = attn2
        self.ff = FeedForward(layers, channels)
        self.norm1 = layers.layer_norm(channels)
        self.norm2 = layers.layer_norm(channels)
        self.norm3 = layers.layer_norm(channels)

    def forward(self, x: Tensor, *context: CrossContext) -> Tensor:
        x = x + self.attn1(self.norm1(x))
        x = x + self.attn2(self.norm2(x), *context)
        return x + self.ff(self.norm3(x))


class SpatialTransformer(nn.Module):
    """Self-attention over the pixels of each frame, then cross-attention to the context.

    With `temporal` the context's image tokens count too, and the result is a video (b, c, t, h, w), as the temporal
    transformer behind it takes it.
    """

    def __init__(self, layers: Layers, channels: int, head_channels: int, context_dim: int, temporal: bool) -> None:
        super().__init__()
        self.temporal = temporal
        heads = channels // head_channels
        self.norm = layers.group_norm(channels, eps=1e-6)
        self.proj_in = layers.linear(channels, channels)
        block = TransformerBlock(
            layers,
            channels,
            SelfAttention(layers, channels, heads),
            CrossAttention(layers, channels, heads, context_dim, image_tokens=temporal),
        )
        self.transformer_blocks = nn.ModuleList([block])
        self.proj_out = layers.linear(channels, channels)

    def forward(self, x: Tensor, step: StepInputs) -> Tensor:
        height = x.shape[-2]
        tokens = self.proj_in(rearrange(self.norm(x), "n c h w -> n (h w) c").contiguous())
        for block in self.transformer_blocks:
            tokens = block(tokens, step.context)
        branches = x, rearrange(self.proj_out(tokens), "n (h w) c -> n c h w", h=height)
        if not self.temporal:
            return torch.add(*branches)
        return contiguous(torch.add, *(to_video(branch, step.frames) for branch in branches))


class TemporalTransformer(nn.Module):
    """Two self-attentions over the frames at every pixel of a video (b, c, t, h, w); no positional encoding, no mask.

    With `conv_projection` the in and out projections are stored as 1x1 convolutions, as in `init_attn`.
    """

    def __init__(
        self, layers: Layers, channels: int, heads: int, head_channels: int, conv_projection: bool = False
    ) -> None:
        super().__init__()
        inner = heads * head_channels
        self.conv_projection = conv_projection
        self.norm = layers.group_norm(channels, eps=1e-6)
        self.proj_in = layers.conv1d(channels, inner, 1) if conv_projection else layers.linear(channels, inner)
        block = TransformerBlock(
            layers, inner, SelfAttention(layers, inner, heads), SelfAttention(layers, inner, heads)
        )
        self.transformer_blocks = nn.ModuleList([block])
        self.proj_out = layers.conv1d(inner, channels, 1) if conv_projection else layers.linear(inner, channels)

    def forward(self, video: Tensor, step: StepInputs) -> Tensor:
        """The result has the frames as the batch again: (b t, c, h, w)."""
        height, width = video.shape[-2:]
        tokens = self._project(self.proj_in, rearrange(self.norm(video), "b c t h w -> (b h w) t c"))
        for block in self.transformer_blocks:
            tokens = block(tokens)
        out = self._project(self.proj_out, tokens)
        out = rearrange(out, "(b h w) t c -> b t c h w", h=height, w=width)
        return contiguous(torch.add, video.transpose(1, 2), out).flatten(0, 1)

    def _project(self, projection: nn.Module, tokens: Tensor) -> Tensor:
        if not self.conv_projection:
            return projection(tokens.contiguous())  # of other layouts the bias is added in a pass of its own
        return projection(tokens.transpose(1, 2)).transpose(1, 2)
