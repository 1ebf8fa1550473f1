"""Which attention the models call on this host."""

from __future__ import annotations

import comfy.model_management as management
import torch
from comfy.ldm.modules.attention import optimized_attention

from ...tooncrafter_core.models.layers import AttentionFunction, scaled_dot_product_attention


def attention_for(device: torch.device) -> AttentionFunction:
    """ComfyUI's attention; on a CPU, PyTorch's fused kernel, which ComfyUI does not choose there by itself."""
    return scaled_dot_product_attention if management.is_device_cpu(device) else optimized_attention
