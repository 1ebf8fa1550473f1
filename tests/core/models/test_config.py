"""Sizes that cannot be are refused when a config is made."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import pytest
from random_checkpoint import MODEL, SKETCH

from tooncrafter_core import Settings


@pytest.mark.parametrize(
    ("part", "change", "message"),
    [
        ("unet", {"in_channels": 0}, "UNetConfig.in_channels is 0"),
        ("unet", {"context_dim": -1}, "context_dim is -1"),
        ("unet", {"channel_mult": ()}, "channel_mult"),
        ("unet", {"channel_mult": (1, 0, 4, 4)}, "channel_mult"),
        ("unet", {"channel_mult": (1, 2)}, "attention_levels has 4 entries and channel_mult 2"),
        ("unet", {"model_channels": 33}, "model_channels is 33, which is not a multiple of 32"),
        ("unet", {"head_channels": 24}, "width of level 0 is 32, which is not a multiple of 24"),
        ("sketch", {"hint_widths": (16, 32)}, "hint_widths has 2 entries; expected 7"),
        ("sketch", {"res_blocks": 0}, "SketchConfig.res_blocks is 0"),
        ("autoencoder", {"channels": 40}, "channels is 40, which is not a multiple of 32"),
        ("autoencoder", {"channel_mult": (1, 2, 4)}, "channel_mult has 3 levels; expected 4"),
        ("autoencoder", {"reference_head_channels": 0}, "reference_head_channels is 0"),
        ("projector", {"heads": 3}, "inner_dim is 64, which is not a multiple of 3"),
        ("projector", {"depth": 0}, "depth is 0"),
        ("text", {"layers": 1}, "layers is 1; expected at least 2"),
        ("text", {"heads": 5}, "width is 32, which is not a multiple of 5"),
        ("vision", {"image_size": 225}, "image_size is 225, which is not a multiple of 32"),
        ("vision", {"patch_size": 0}, "patch_size is 0"),
    ],
)
def test_impossible_sizes(part: str, change: dict[str, Any], message: str) -> None:
    config = getattr(SKETCH if part == "sketch" else MODEL, part)
    with pytest.raises(ValueError, match=message):
        replace(config, **change)


def test_a_level_without_attention_may_have_any_width() -> None:
    assert MODEL.unet is not None
    replace(MODEL.unet, attention_levels=(False, True, True, False), head_channels=64)


@pytest.mark.parametrize(
    "change",
    [
        {"frames": 1},
        {"frame_rate": 0},
        {"steps": 0},
        {"steps": 1001},
        {"guidance_scale": -1.0},
        {"guidance_rescale": 1.1},
        {"guidance_rescale": math.nan},
        {"eta": 1.5},
        {"seed": -1},
        {"seed": 2**64},
        {"sketch_strength": -0.1},
    ],
    ids=str,
)
def test_settings_out_of_range(change: dict[str, Any]) -> None:
    Settings()
    (name,) = change
    with pytest.raises(ValueError, match=f"{name} is .*; expected "):
        Settings(**change)
