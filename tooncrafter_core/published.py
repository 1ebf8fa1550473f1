"""The files that others have published: what they are, and where they come from."""

from __future__ import annotations

from dataclasses import dataclass

_HUB = "https://huggingface.co"


@dataclass(frozen=True)
class PublishedFile:
    """A file to download.

    Attributes:
        name: of the file.
        folder: where ComfyUI looks for it, below its models folder.
        address: of the file.
        about: what it is, and its size.
    """

    name: str
    folder: str
    address: str
    about: str


MODEL = PublishedFile(
    "model.ckpt",
    "checkpoints",
    f"{_HUB}/Doubiiu/ToonCrafter/resolve/main/model.ckpt",
    "ToonCrafter, complete, 10.5 GB",
)
SKETCH_ENCODER = PublishedFile(
    "sketch_encoder.ckpt",
    "controlnet",
    f"{_HUB}/Doubiiu/ToonCrafter/resolve/main/sketch_encoder.ckpt",
    "ToonCrafter's sketch encoder, 1.5 GB",
)
PRUNED = PublishedFile(
    "tooncrafter_512_interp-pruned-fp16.safetensors",
    "checkpoints",
    f"{_HUB}/Kijai/DynamiCrafter_pruned/resolve/main/tooncrafter_512_interp-pruned-fp16.safetensors",
    "ToonCrafter in float16 without CLIP and CLIP_VISION, 3.2 GB",
)
PRUNED_SKETCH_ENCODER = PublishedFile(
    "sketch_encoder-fp16.safetensors",
    "controlnet",
    f"{_HUB}/Kijai/DynamiCrafter_pruned/resolve/main/sketch_encoder-fp16.safetensors",
    "ToonCrafter's sketch encoder in float16, 0.7 GB",
)
_OPEN_CLIP = f"{_HUB}/laion/CLIP-ViT-H-14-laion2B-s32B-b79K/resolve/main/open_clip_model.safetensors"
TEXT_TOWER = PublishedFile(
    "open_clip_model.safetensors", "text_encoders", _OPEN_CLIP, "OpenCLIP ViT-H, both towers, 3.9 GB"
)
VISION_TOWER = PublishedFile(
    "open_clip_model.safetensors", "clip_vision", _OPEN_CLIP, "the same file again (a link to it will do)"
)
LOADED_HERE = (MODEL, SKETCH_ENCODER, PRUNED, PRUNED_SKETCH_ENCODER)
"""Those that our loaders and the command line read; the towers are ComfyUI's to load."""


def whereabouts(name: str) -> str:
    """Where to get a file that is not there, in a sentence; empty where the name is none of the published."""
    found = next((file for file in LOADED_HERE if file.name == name), None)
    return f"It is {found.about}: download it from {found.address}." if found else ""
