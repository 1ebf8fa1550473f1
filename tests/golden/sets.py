"""The two golden sets: the published implementation's own, and the one frozen in this folder."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from tooncrafter_core import ToonCrafter, read_checkpoint
from tooncrafter_core.files.checkpoint import Checkpoint
from tooncrafter_core.files.infer import infer_config
from tooncrafter_core.models.config import ModelConfig
from tooncrafter_core.models.layers import Layers

from .inputs import condition, context, inputs
from .rule import weight

FROZEN = Path(__file__).resolve().parent

FILES = ("model.ckpt", "sketch_encoder.ckpt")

Sizes = Mapping[str, Mapping[str, Any]]
"""What config.json beside the vectors says."""


@dataclass(frozen=True)
class GoldenSet:
    """A model and what the published implementation computes with it.

    Attributes:
        sizes: of the model, the head counts among them.
        model: every part but the sketch encoder.
        sketch: the sketch encoder.
        vectors: inputs and outputs by name.
    """

    sizes: Sizes
    model: Checkpoint
    sketch: Checkpoint
    vectors: dict[str, Tensor]

    def models(self) -> ToonCrafter:
        """The models in float32, with the true head counts."""
        model, sketch = (
            replace(checkpoint, config=with_true_heads(checkpoint.config, self.sizes))
            for checkpoint in (self.model, self.sketch)
        )
        parts = {part: built(model, part) for part in model.parts}
        return ToonCrafter(**parts, sketch_encoder=built(sketch, "sketch"))  # type: ignore[arg-type]


def built(checkpoint: Checkpoint, part: str) -> nn.Module:
    model = checkpoint.build(part, Layers(dtype=torch.float32))
    model.load_state_dict(checkpoint.part(part))
    return model.eval().requires_grad_(False)


def published(folder: Path) -> GoldenSet:
    """A folder as the published implementation's users made it: weights, sizes, inputs and outputs."""
    model, sketch = (read_checkpoint(folder / name) for name in FILES)
    return GoldenSet(read_sizes(folder), model, sketch, load_file(folder / "vectors.safetensors"))


def frozen() -> GoldenSet:
    """The set of this folder: weights and inputs by the rule, outputs from the file."""
    stored = load_file(FROZEN / "vectors.safetensors")
    return GoldenSet(read_sizes(FROZEN), *checkpoints_by_rule(), {**inputs(), **stored, **derived_inputs(stored)})


def checkpoints_by_rule() -> tuple[Checkpoint, Checkpoint]:
    """The two files' contents as the rule makes them."""
    files = json.loads((FROZEN / "tensors.json").read_text())
    model, sketch = (checkpoint_by_rule(name, files[name]) for name in FILES)
    return model, sketch


def checkpoint_by_rule(name: str, shapes: Mapping[str, list[int]]) -> Checkpoint:
    tensors = {tensor: weight(tensor, shape) for tensor, shape in shapes.items()}
    checkpoint = Checkpoint(Path(name), tensors, infer_config(tensors))
    checkpoint.check()
    return checkpoint


def derived_inputs(stored: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Inputs of the U-Net that are made of earlier modules' outputs."""
    return {
        "unet.context": context(stored["text.embedding"][1:2], stored["image_projection.out"]),
        "unet.context_uncond": context(stored["text.embedding"][:1], stored["image_projection.out_of_zeros"]),
        "unet.concat": condition(stored["vae.mode_scaled"]),
    }


def read_sizes(folder: Path) -> Sizes:
    return json.loads((folder / "config.json").read_text())


def with_true_heads(config: ModelConfig, sizes: Sizes) -> ModelConfig:
    """Head counts do not show in tensor shapes, so what was inferred is a guess unless the sizes are published ones."""
    heads = {"projector": "image_projection", "text": "clip_text", "vision": "clip_vision"}
    changes = {
        part: replace(getattr(config, part), heads=sizes[name]["heads"])
        for part, name in heads.items()
        if getattr(config, part)
    }
    changes |= {
        part: replace(getattr(config, part), head_channels=sizes["unet"]["num_head_channels"])
        for part in ("unet", "sketch")
        if getattr(config, part)
    }
    return replace(config, **changes)
