"""Stock Load LoRA on MODEL: names of Stable Diffusion 2.x's U-Net, which the spatial layers come from, to ours.

The U-Net has temporal layers between Stable Diffusion's, which moves the few layers behind them to another index.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from comfy.model_patcher import ModelPatcher

from ...tooncrafter_core.models.config import UNetConfig

PatchKey = str | tuple[Any, ...]
"""A weight's name; for a part of a weight, a tuple that begins with it."""

_MOVED = (
    (re.compile(r"\.middle_block\.2\.(in_layers|emb_layers|out_layers|skip_connection)\."), r".middle_block.3.\1."),
    (re.compile(r"\.(output_blocks\.\d+)\.2\.conv\."), r".\1.3.conv."),
)
"""Stable Diffusion's names to ours: the second residual block of the middle, and upsampling after attention."""


def stable_diffusion_sizes(config: UNetConfig) -> dict[str, Any]:
    """What ComfyUI needs to know to list a U-Net's layers under the names that LoRA files use."""
    attends = [int(level) for level in config.attention_levels]
    return {
        "num_res_blocks": [config.res_blocks] * len(attends),
        "channel_mult": list(config.channel_mult),
        "transformer_depth": [depth for depth in attends for _ in range(config.res_blocks)],
        "transformer_depth_output": [depth for depth in attends for _ in range(config.res_blocks + 1)],
        "transformer_depth_middle": 1,
    }


class ToonCrafterPatcher(ModelPatcher):
    """A ModelPatcher that finds the layers of patches with Stable Diffusion's names."""

    def add_patches(
        self, patches: Mapping[PatchKey, Any], strength_patch: float = 1.0, strength_model: float = 1.0
    ) -> list[PatchKey]:
        """Add patches; returns the keys of those that have a layer, so that Load LoRA can tell of the others."""
        own = {key: _own_key(key) for key in patches}
        found = super().add_patches({own[key]: patch for key, patch in patches.items()}, strength_patch, strength_model)
        return [key for key in patches if own[key] in found]


def _own_key(key: PatchKey) -> PatchKey:
    if not isinstance(key, str):
        return (_own_key(key[0]), *key[1:])
    for name, ours in _MOVED:
        key = name.sub(ours, key)
    return key
