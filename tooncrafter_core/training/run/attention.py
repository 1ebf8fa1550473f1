"""Attention for trainings: in bfloat16, PyTorch's fused kernel has slow gradients on CPUs."""

from __future__ import annotations

import torch
from torch import Tensor

from ...models.layers import Layers, scaled_dot_product_attention


def training_attention(q: Tensor, k: Tensor, v: Tensor, heads: int, mask: Tensor | None = None) -> Tensor:
    """What `scaled_dot_product_attention` gives; in bfloat16 on a CPU step by step."""
    if q.device.type != "cpu" or q.dtype is not torch.bfloat16 or mask is not None:
        return scaled_dot_product_attention(q, k, v, heads, mask)
    batch, _, channels = q.shape
    size = channels // heads
    with torch.autocast("cpu", enabled=False):
        q = q * size**-0.5
        q, k, v = (x.reshape(batch, -1, heads, size).transpose(1, 2) for x in (q, k, v))
        weights = torch.softmax(q @ k.transpose(-1, -2), dim=-1)
        return (weights @ v).transpose(1, 2).reshape(batch, -1, channels)


TRAINING_LAYERS = Layers(attention=training_attention)
"""How the models that train are made."""
