"""How outputs of this project are compared with vectors of the published implementation."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from tooncrafter_core.models.config import TOKENS_PER_FRAME, ModelConfig
from tooncrafter_core.models.unet.context import CrossContext

Sizes = Mapping[str, Mapping[str, Any]]
"""What config.json beside the vectors says."""

MODULE_LIMIT = 3e-5
"""Largest relative error of one module's output; both sides compute in float32."""

RUN_LIMIT = 3e-4
"""Largest relative error of a whole sampling run, over which the modules' errors add up."""


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


def relative_error(out: Tensor, reference: Tensor) -> float:
    """||out - ref|| / ||ref||, or ||out|| where the reference is all zeros."""
    assert out.shape == reference.shape, f"shape {tuple(out.shape)} instead of {tuple(reference.shape)}"
    difference, size = (out.double() - reference.double()).norm().item(), reference.double().norm().item()
    return difference / size if size else difference


def compare(outputs: Mapping[str, Tensor], vectors: Mapping[str, Tensor], limit: float) -> None:
    """Fail with the key and the error of every output that is further than `limit` from the vector of its name."""
    errors = {key: relative_error(out, vectors[key]) for key, out in outputs.items()}
    too_far = {key: error for key, error in errors.items() if not error <= limit}
    assert not too_far, f"relative errors above {limit}: {too_far}"


def family(vectors: Mapping[str, Tensor], pattern: str) -> list[re.Match[str]]:
    """Matches of every key that is wholly of this form; there must be one."""
    found = [match for match in (re.fullmatch(pattern, key) for key in vectors) if match]
    assert found, f"no vector has a name like {pattern}"
    return found


def strength(digits: str) -> float:
    """Strengths are written without their point: 06 is 0.6."""
    return float(f"{digits[0]}.{digits[1:]}")


def split_context(context: Tensor, text_tokens: int, frames: int) -> CrossContext:
    """Text tokens, then image tokens: so many for each frame, or else all of them for every frame."""
    text, image = context[:, :text_tokens], context[:, text_tokens:]
    if image.shape[1] == TOKENS_PER_FRAME * frames:
        image = image.unflatten(1, (frames, TOKENS_PER_FRAME))
    return CrossContext(text, image)


def full(like: Tensor, *values: float) -> Tensor:
    """One integer for each row of a batch: timesteps or frame rates."""
    return torch.tensor(values, device=like.device, dtype=torch.long)
