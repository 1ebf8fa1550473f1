"""ComfyUI prompts (API form) of the graph this project is about, for the demo and the tests."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from tooncrafter_core.batch.runners.comfyui_prompt import Prompt, node

__all__ = ["Prompt", "node"]

BUNDLED_MODEL = "tooncrafter-tiny (bundled)"
BUNDLED_SKETCH_ENCODER = "tooncrafter-tiny sketch encoder (bundled)"
"""What the loaders call the small model that comes with the nodes."""
BUNDLED_LORA = "tooncrafter-tiny-4steps.safetensors"
"""What Load LoRA calls the one that comes with it."""


def settings_of(made: Mapping[str, Any]) -> dict[str, Any]:
    """What a node's widgets are set to: its inputs without the wires."""
    return {name: value for name, value in made["inputs"].items() if not isinstance(value, list)}


def interpolation(
    keyframes: Sequence[str],
    checkpoint: str = "model.ckpt",
    *,
    encode: Mapping[str, Any] | None = None,
    sample: Mapping[str, Any] | None = None,
    two_pass: bool = True,
    text: str = "",
) -> Prompt:
    """Loader -> Encode Keyframes -> Sampler -> Dual-Ref Decode -> Save Image.

    Args:
        keyframes: names of pictures in ComfyUI's input folder.
        checkpoint: name of a file in the checkpoints folder.
        encode: widget values of Encode Keyframes other than the published ones.
        sample: widget values of the Sampler other than the published ones.
        two_pass: widget of Dual-Ref Decode.
        text: the prompt.
    """
    sizes = {"width": 512, "height": 320, "frames": 16, "fps": 10, "fit": "crop", **(encode or {})}
    sampling = {"seed": 0, "steps": 50, "guidance_scale": 7.5, "guidance_rescale": 0.7, "eta": 1.0, "denoise": 1.0}
    return {
        "loader": node("ToonCrafterLoader", checkpoint=checkpoint, weight_dtype="default"),
        **batch(keyframes, "keyframes"),
        "positive": node("CLIPTextEncode", clip=["loader", 1], text=text),
        "negative": node("CLIPTextEncode", clip=["loader", 1], text=""),
        "encode": node(
            "ToonCrafterEncodeKeyframes",
            keyframes=["keyframes", 0],
            positive=["positive", 0],
            negative=["negative", 0],
            clip_vision=["loader", 2],
            vae=["loader", 3],
            **sizes,
        ),
        "sampler": node(
            "ToonCrafterSampler",
            model=["loader", 0],
            positive=["encode", 0],
            negative=["encode", 1],
            latent=["encode", 2],
            **{**sampling, **(sample or {})},
        ),
        "decode": node(
            "ToonCrafterDualRefDecode",
            vae=["loader", 3],
            latent=["sampler", 0],
            references=["encode", 3],
            two_pass=two_pass,
        ),
        "save": node("SaveImage", images=["decode", 0], filename_prefix="frame"),
    }


def changed(prompt: Prompt, name: str, **inputs: Any) -> Prompt:
    """The same graph with other inputs of one node."""
    return {**prompt, name: {**prompt[name], "inputs": {**prompt[name]["inputs"], **inputs}}}


def with_sketches(
    prompt: Prompt,
    sketches: Sequence[str],
    frame_indices: str,
    sketch_encoder: str = "sketch_encoder.ckpt",
    strength: float = 0.6,
) -> Prompt:
    """The same graph with a Sketch Guide before the Sampler."""
    guide = node(
        "ToonCrafterSketchGuide",
        positive=["encode", 0],
        negative=["encode", 1],
        control_net=["sketch_loader", 0],
        sketches=["sketches", 0],
        frame_indices=frame_indices,
        strength=strength,
    )
    return {
        **changed(prompt, "sampler", positive=["guide", 0], negative=["guide", 1]),
        **batch(sketches, "sketches"),
        "sketch_loader": node("ToonCrafterSketchEncoderLoader", sketch_encoder=sketch_encoder),
        "guide": guide,
    }


def batch(pictures: Sequence[str], name: str) -> Prompt:
    """Load Image for each picture, and the nodes that make one batch of them; the last is called `name`."""
    loads = {f"{name}_{i}": node("LoadImage", image=picture) for i, picture in enumerate(pictures)}
    if len(pictures) == 1:
        return {name: loads[f"{name}_0"]}
    joins: Prompt = {}
    previous = f"{name}_0"
    for i in range(1, len(pictures)):
        joined = name if i == len(pictures) - 1 else f"{name}_joined_{i}"
        joins[joined] = node("ImageBatch", image1=[previous, 0], image2=[f"{name}_{i}", 0])
        previous = joined
    return {**loads, **joins}
