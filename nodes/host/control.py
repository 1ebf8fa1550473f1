"""The sketch encoder as ComfyUI's CONTROL_NET."""

from __future__ import annotations

from typing import Any

import comfy.model_management as management
import torch
from comfy.controlnet import ControlNet
from comfy.ops import pick_operations
from einops import rearrange
from torch import Tensor

from ...tooncrafter_core.checkpoint import Checkpoint
from ...tooncrafter_core.config import SketchConfig
from ...tooncrafter_core.context import CrossContext
from ...tooncrafter_core.layers import Layers
from ...tooncrafter_core.sketch_encoder import SketchEncoder
from .attention import attention_for


class HostSketchEncoder(SketchEncoder):
    """The sketch encoder, called as ComfyUI calls a ControlNet: frames as the batch, hint in any channels."""

    def __init__(self, config: SketchConfig, layers: Layers) -> None:
        super().__init__(config, layers)
        self.dtype = layers.dtype

    def forward(
        self, x: Tensor, hint: Tensor, timesteps: Tensor, context: Tensor, frames: int = 1, **_: Any
    ) -> dict[str, list[Tensor]]:
        """x (n, c, h, w), hint (n or 1, any, 8 h, 8 w) white on black, timesteps (n,), context (n, L, d).

        Rows come in runs of `frames` that share timestep and text, so that text keys are made once a run.
        """
        grey = hint.mean(dim=1, keepdim=True).expand(len(x), self.config.hint_channels, -1, -1)
        controls = super().forward(
            rearrange(x, "(b t) c h w -> b c t h w", t=frames),
            rearrange(grey, "(b t) c h w -> b c t h w", t=frames),
            timesteps[::frames],
            CrossContext(context[::frames]),
        )
        return {"output": list(controls.skips), "middle": [controls.middle]}


def load_control_net(checkpoint: Checkpoint) -> ControlNet:
    """CONTROL_NET from a sketch encoder checkpoint; dtype and devices are ComfyUI's choice."""
    weights = checkpoint.part("sketch")
    device = management.get_torch_device()
    dtype = management.unet_dtype(
        model_params=sum(tensor.numel() for tensor in weights.values()),
        supported_dtypes=[torch.float16, torch.bfloat16, torch.float32],
        weight_dtype=next(iter(weights.values())).dtype,
    )
    manual_cast = management.unet_manual_cast(dtype, device)
    layers = Layers(pick_operations(dtype, manual_cast), attention_for(device), dtype, management.unet_offload_device())
    model = HostSketchEncoder(checkpoint.config.sketch, layers).eval()
    model.load_state_dict(weights)
    return ControlNet(model, load_device=device, manual_cast_dtype=manual_cast, extra_conds=["frames"])
