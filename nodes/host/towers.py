"""The checkpoint's OpenCLIP towers as ComfyUI's CLIP and CLIP_VISION, whatever their size."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import comfy.model_management as management
import folder_paths
import torch
from comfy.clip_vision import ClipVisionModel, convert_to_transformers
from comfy.sd import CLIP
from comfy.supported_models import SD20
from torch import Tensor, nn

from ...tooncrafter_core.files.checkpoint import PREFIXES, Checkpoint, CheckpointError
from ...tooncrafter_core.models.clip.vision_tower import preprocess
from ...tooncrafter_core.models.config import TowerConfig
from .interruption import stop_if_interrupted

_LEAST_BLOCKS = 3
"""Of a text tower whose last block but one ComfyUI is to read."""

_BLOCKS = "clip_h.transformer.text_model.encoder.layers."
_ENDS_OF_BRANCHES = ("self_attn.out_proj.", "mlp.fc2.")
"""The layers that a block adds to what goes past it."""

_UNREAD = {
    "visual_projection.weight": 2,
    "vision_model.post_layernorm.weight": 1,
    "vision_model.post_layernorm.bias": 1,
}
"""Dimensions of what nothing of ours reads of the vision tower, and models made by our training do not have."""


def load_clip(checkpoint: Checkpoint) -> CLIP:
    """CLIP from the text tower: ComfyUI's SD 2.x text encoder in this tower's size."""
    host_config = SD20({})
    prefix = PREFIXES["text"]
    published = {prefix + name: tensor for name, tensor in checkpoint.published_part(prefix).items()}
    config = checkpoint.config.text
    weights = _with_blocks(host_config.process_clip_state_dict(published), config.layers)
    clip = CLIP(
        host_config.clip_target(),
        embedding_directory=folder_paths.get_folder_paths("embeddings"),
        parameters=sum(tensor.numel() for tensor in weights.values()),
        model_options={
            "clip_h_model_config": {**_sizes(config), "num_hidden_layers": max(config.layers, _LEAST_BLOCKS)}
        },
    )
    _fit_projection(weights, clip.cond_stage_model.clip_h.transformer.text_projection.weight)
    _check_loaded("text", clip.load_sd(weights, full_model=True))
    return clip


def _with_blocks(weights: dict[str, Tensor], layers: int) -> dict[str, Tensor]:
    """Weights of at least as many blocks as ComfyUI asks for: before the last, which it does not run, identities."""
    for index in range(layers, _LEAST_BLOCKS):
        last, added = f"{_BLOCKS}{index - 1}.", f"{_BLOCKS}{index}."
        for name in [name for name in weights if name.startswith(last)]:
            rest = name.removeprefix(last)
            weights[added + rest] = weights[name]
            if rest.startswith(_ENDS_OF_BRANCHES):
                weights[name] = torch.zeros_like(weights[name])
    return weights


def _fit_projection(weights: dict[str, Tensor], expected: Tensor) -> None:
    """ComfyUI's projection of the pooled text is square. Nothing of ours reads it: another shape counts as zeros."""
    name = "clip_h.transformer.text_projection.weight"
    if name not in weights or weights[name].shape != expected.shape:
        weights[name] = torch.zeros_like(expected)


def _check_loaded(tower: str, result: tuple[list[str], list[str]]) -> None:
    """ComfyUI loads towers without complaint about what is missing; we do complain."""
    missing = [name for name in result[0] if not name.endswith("logit_scale")]
    if missing:
        raise CheckpointError(
            f"the {tower} tower lacks {len(missing)} tensors, first {missing[0]}; the file is damaged"
        )


def load_clip_vision(checkpoint: Checkpoint) -> ClipVisionModel:
    """CLIP_VISION from the vision tower."""
    config = checkpoint.config.vision
    weights = convert_to_transformers(checkpoint.published_part(PREFIXES["vision"]), "")
    for name, dimensions in _UNREAD.items():
        weights.setdefault(name, torch.zeros([config.width] * dimensions))
    sizes = {
        **_sizes(config),
        "model_type": "clip_vision_model",
        "hidden_act": "gelu",
        "num_channels": 3,
        "image_size": config.image_size,
        "patch_size": config.patch_size,
        "projection_dim": weights["visual_projection.weight"].shape[0],
    }
    with tempfile.TemporaryDirectory() as folder:  # ComfyUI reads the sizes from a file
        file = Path(folder) / "config.json"
        file.write_text(json.dumps(sizes))
        clip_vision = ClipVisionModel(str(file))
    _check_loaded("vision", clip_vision.load_sd(weights))
    return clip_vision


def vision_tokens(clip_vision: ClipVisionModel, images: Tensor) -> Tensor:
    """Tokens after the vision tower's last block, with the published preprocessing (ComfyUI's own differs).

    Args:
        clip_vision: from `load_clip_vision`, or from the stock Load CLIP Vision.
        images: (n, 3, H, W) in [-1, 1].

    Returns:
        (n, 1 + patches, d), float32, where ComfyUI keeps intermediate results
    """
    management.load_model_gpu(clip_vision.patcher)
    pixels = preprocess(images, clip_vision.image_size).to(clip_vision.load_device)
    with _looking_between_blocks(clip_vision.model):
        tokens = clip_vision.model(pixel_values=pixels)[0]
    return tokens.to(management.intermediate_device()).float()


@contextmanager
def _looking_between_blocks(tower: nn.Module) -> Iterator[None]:
    """An interruption ends the pass of ComfyUI's tower, which does not look itself, at the next of its blocks."""
    blocks = [block for each in tower.modules() if isinstance(each, nn.ModuleList) for block in each]
    hooks = [block.register_forward_pre_hook(lambda *_: stop_if_interrupted()) for block in blocks]
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()


def _sizes(config: TowerConfig) -> dict[str, int]:
    return {
        "hidden_size": config.width,
        "num_hidden_layers": config.layers,
        "num_attention_heads": config.heads,
        "intermediate_size": config.feed_forward_dim,
    }
