"""What takes the place of files that a workflow names and this repository does not have."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from random_checkpoint import random_tensors
from safetensors.torch import save_file
from torch import Tensor

from comfy_harness.examples.parts import CONTROLNET, MODEL, PRUNED, SKETCH_ENCODER, UPSCALER
from comfy_harness.prompts import BUNDLED_MODEL, BUNDLED_SKETCH_ENCODER, Prompt
from tooncrafter_core.models.config import ModelConfig, SketchConfig

_BUNDLED = {MODEL: BUNDLED_MODEL, PRUNED: BUNDLED_MODEL, SKETCH_ENCODER: BUNDLED_SKETCH_ENCODER}
_TOWERS = {"CLIPLoader": 1, "CLIPVisionLoader": 2}
"""Nodes whose output the Loader's output of this number replaces."""

_CONTROLNET = SketchConfig(
    in_channels=4,
    model_channels=64,
    channel_mult=(1, 1, 2),
    res_blocks=1,
    attention_levels=(True, True, True),
    head_channels=64,
    context_dim=32,
    hint_channels=3,
    hint_widths=(16, 16, 32, 32, 96, 96, 256),
)
"""A Stable Diffusion ControlNet, whose layout the sketch encoder has, in the bundled model's sizes."""


def with_stand_ins(prompt: Prompt, steps: int, size: tuple[int, int] = (128, 64)) -> Prompt:
    """The same graph with the bundled model, its own towers too, at the settings it was made for, and its size."""
    settings = {
        "ToonCrafterEncodeKeyframes": {"width": size[0], "height": size[1], "fps": 24},
        "ToonCrafterSampler": {"steps": steps, "guidance_scale": 1.0, "clean_end": True},
        "KSampler": {"steps": steps, "cfg": 1.0},
        "ImageScale": {"width": size[0], "height": size[1]},
    }
    (loader,) = (name for name, made in prompt.items() if made["class_type"] == "ToonCrafterLoader")
    towers = {name: _TOWERS[made["class_type"]] for name, made in prompt.items() if made["class_type"] in _TOWERS}

    def stand_in(value: Any) -> Any:
        if isinstance(value, list) and value[0] in towers:
            return [loader, towers[value[0]]]
        return _BUNDLED.get(value, value) if isinstance(value, str) else value

    changed = {}
    for name, made in prompt.items():
        if name in towers:
            continue
        inputs = {key: stand_in(value) for key, value in made["inputs"].items()}
        wired = {key: value for key, value in inputs.items() if isinstance(value, list)}
        changed[name] = {**made, "inputs": {**inputs, **settings.get(made["class_type"], {}), **wired}}
    return changed


def write_stand_ins(folder: Path) -> dict[str, Path]:
    """A ControlNet and an upscaler under the names the workflows use; by their places in ComfyUI's models folder."""
    controlnet, upscaler = folder / CONTROLNET, folder / UPSCALER
    save_file(controlnet_tensors(strength=0.0), controlnet)
    torch.save(_upscaler_tensors(), upscaler)
    return {f"controlnet/{CONTROLNET}": controlnet, f"upscale_models/{UPSCALER}": upscaler}


def controlnet_tensors(strength: float) -> dict[str, Tensor]:
    """A random ControlNet, what it adds multiplied by `strength`: with 0 it is one whose training has not begun."""
    tensors = random_tensors(ModelConfig(sketch=_CONTROLNET), seed=5)
    ends = ("zero_convs.", "middle_block_out.")
    return {name: tensor * strength if name.startswith(ends) else tensor for name, tensor in tensors.items()}


def _upscaler_tensors() -> dict[str, Tensor]:
    """Real-ESRGAN's compact network, which adds to the picture with every pixel doubled; this one adds nothing."""
    width, shuffled = 8, 3 * 2 * 2
    shapes = {
        "0": [(width, 3, 3, 3), (width,)],
        "1": [(width,)],
        "2": [(width, width, 3, 3), (width,)],
        "3": [(width,)],
        "4": [(shuffled, width, 3, 3), (shuffled,)],
    }
    names = ("weight", "bias")
    return {
        f"body.{at}.{n}": torch.zeros(s) for at, layer in shapes.items() for n, s in zip(names, layer, strict=False)
    }
