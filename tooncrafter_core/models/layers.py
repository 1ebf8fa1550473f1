"""How every model here makes its layers: one object carries layer classes, attention, dtype and device.

A host (ComfyUI, or a training engine) passes its own `operations` namespace and attention function to get
weight casting, fp8 or offloading; the defaults are plain PyTorch.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .temporal_conv import temporal_conv_of

AttentionFunction = Callable[..., Tensor]
"""`attention(q, k, v, heads, mask=None)`; q is (b, n, heads * d), k and v are (b, m, heads * d)."""

LayerWeights = Callable[[nn.Module, Tensor], tuple[Tensor, Tensor]]
"""`weights(layer, x)`: weight and bias as the layer's forward would use them on x."""

BeforeBlock = Callable[[], None]
"""Called before each block of layers; what it raises ends the work."""

_CUDA_GRID_LIMIT = 2**15
"""CUDA attention kernels index batch and heads with 16 bits; larger batches go through in slices."""


def scaled_dot_product_attention(q: Tensor, k: Tensor, v: Tensor, heads: int, mask: Tensor | None = None) -> Tensor:
    """Multi-head attention by PyTorch's fused kernel.

    Args:
        q: queries (b, n, heads * d).
        k: keys (b, m, heads * d).
        v: values (b, m, heads * d).
        heads: number of heads.
        mask: added to the logits, broadcastable to (b, heads, n, m).

    Returns:
        (b, n, heads * d)
    """
    batch, _, channels = q.shape
    q, k, v = (x.reshape(batch, -1, heads, channels // heads).transpose(1, 2) for x in (q, k, v))
    size = max(_CUDA_GRID_LIMIT // heads, 1)
    if batch <= size or not q.is_cuda:
        out = F.scaled_dot_product_attention(q, k, v, attn_mask=mask)
    else:
        slices = zip(q.split(size), k.split(size), v.split(size), strict=True)
        out = torch.cat([F.scaled_dot_product_attention(*part, attn_mask=mask) for part in slices])
    return out.transpose(1, 2).reshape(batch, -1, channels)


def own_weights(layer: nn.Module, x: Tensor) -> tuple[Tensor, Tensor]:
    """Weight and bias as they are."""
    return layer.get_parameter("weight"), layer.get_parameter("bias")


def go_on() -> None:
    """Never ends the work."""


@dataclass(frozen=True)
class Layers:
    """Makes layers from the given namespace of layer classes, on one device and in one dtype.

    Attributes:
        operations: namespace with Linear, Conv1d, Conv2d, Conv3d, GroupNorm, LayerNorm, Embedding.
        attention: the attention function every model calls.
        dtype: parameter dtype; None is PyTorch's default.
        device: parameter device; None is PyTorch's default.
        weights: how to get at a layer's weight and bias where calling the layer will not do; a host that casts them on
            the fly passes its own function.
        before_block: called before each block of the U-Net, the sketch encoder and the autoencoder, there also before
            each frame or strip of one; a host that can be interrupted raises in it.
    """

    operations: Any = nn
    attention: AttentionFunction = scaled_dot_product_attention
    dtype: torch.dtype | None = None
    device: torch.device | str | None = None
    weights: LayerWeights = own_weights
    before_block: BeforeBlock = go_on

    def linear(self, inputs: int, outputs: int, bias: bool = True) -> nn.Module:
        return self.operations.Linear(inputs, outputs, bias=bias, dtype=self.dtype, device=self.device)

    def conv1d(self, inputs: int, outputs: int, kernel: int) -> nn.Module:
        return self.operations.Conv1d(inputs, outputs, kernel, dtype=self.dtype, device=self.device)

    def conv2d(
        self, inputs: int, outputs: int, kernel: int, *, stride: int = 1, padding: int = 0, bias: bool = True
    ) -> nn.Module:
        return self.operations.Conv2d(
            inputs,
            outputs,
            kernel,
            stride=stride,
            padding=padding,
            bias=bias,
            dtype=self.dtype,
            device=self.device,
        )

    def temporal_conv(self, inputs: int, outputs: int) -> nn.Module:
        """A convolution over three neighbouring frames at each pixel, on (b, c, t, h, w)."""
        layer = temporal_conv_of(self.operations.Conv3d)
        return layer(inputs, outputs, (3, 1, 1), padding=(1, 0, 0), dtype=self.dtype, device=self.device)

    def group_norm(self, channels: int, eps: float) -> nn.Module:
        return self.operations.GroupNorm(32, channels, eps=eps, dtype=self.dtype, device=self.device)

    def layer_norm(self, channels: int) -> nn.Module:
        return self.operations.LayerNorm(channels, dtype=self.dtype, device=self.device)

    def embedding(self, count: int, channels: int) -> nn.Module:
        return self.operations.Embedding(count, channels, dtype=self.dtype, device=self.device)

    def parameter(self, *shape: int) -> nn.Parameter:
        """A parameter that belongs to no layer; zeros until a checkpoint is loaded."""
        return nn.Parameter(torch.zeros(shape, dtype=self.dtype, device=self.device))
