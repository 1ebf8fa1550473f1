"""What several workflows have in common: the files they name, and pieces of their graphs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from comfy_harness.prompts import Prompt, interpolation, node
from tooncrafter_core import published

MODEL, SKETCH_ENCODER = published.MODEL.name, published.SKETCH_ENCODER.name
PRUNED, TOWERS = published.PRUNED.name, published.TEXT_TOWER.name
CONTROLNET, UPSCALER = "control_v11p_sd21_canny.safetensors", "RealESRGAN_x2plus.pth"

_TEXT = "a cartoon ball hops over a meadow"
_SHOWN_RATE = 12
"""Frames per second of the animations."""


def animated(prompt: Prompt) -> Prompt:
    """The same graph, saving one animation instead of single pictures."""
    images = prompt["save"]["inputs"]["images"]
    saved = node(
        "SaveAnimatedWEBP",
        images=images,
        filename_prefix="ToonCrafter",
        fps=_SHOWN_RATE,
        lossless=False,
        quality=90,
        method="default",
    )
    return {**prompt, "save": saved}


def video(images: list[Any]) -> Prompt:
    """Nodes that save an mp4."""
    return {
        "video": node("CreateVideo", images=images, fps=_SHOWN_RATE),
        "save": node("SaveVideo", video=["video", 0], filename_prefix="video/ToonCrafter", format="mp4", codec="h264"),
    }


def published_graph(
    keyframes: Sequence[str] = ("tooncrafter_first.png", "tooncrafter_last.png"), **changes: Any
) -> Prompt:
    return interpolation(keyframes, MODEL, text=_TEXT, **changes)


def keyframe_titles(count: int) -> dict[str, str]:
    return {f"keyframes_{i}": f"Keyframe {i + 1}" for i in range(count)} | {
        "keyframes": "Keyframes in order",
        "positive": "Prompt",
        "negative": "Negative prompt",
    }
