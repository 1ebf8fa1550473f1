"""ToonCrafter Encode Keyframes: pictures and prompts to everything the other stages need."""

from __future__ import annotations

from typing import Any

import comfy.model_management as management
import node_helpers
import torch
from comfy.clip_vision import ClipVisionModel
from comfy_api.latest import io
from torch import Tensor

from ..tooncrafter_core.images import FITS, Fit, check_size, fit_images
from ..tooncrafter_core.timeline import check_segments
from .host.conditioning import KEY, Keyframes
from .host.towers import vision_tokens
from .host.vae import ToonCrafterVAE
from .types import CATEGORY, References, ReferencesWire


class ToonCrafterEncodeKeyframes(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="ToonCrafterEncodeKeyframes",
            display_name="ToonCrafter Encode Keyframes",
            category=CATEGORY,
            description="Encodes two or more keyframes. n keyframes make n - 1 segments; neighbouring segments share "
            "a keyframe, which is one frame of the result: (n - 1) x (frames - 1) + 1 frames in all.",
            inputs=[
                io.Image.Input("keyframes", tooltip="Two or more keyframes as one batch, in the order they are shown."),
                io.Conditioning.Input("positive", tooltip="What the pictures show, from CLIP Text Encode."),
                io.Conditioning.Input(
                    "negative", tooltip="What to stay away from, from CLIP Text Encode; often empty."
                ),
                io.ClipVision.Input(
                    "clip_vision", tooltip="OpenCLIP ViT-H, from ToonCrafter Loader or Load CLIP Vision."
                ),
                io.Vae.Input("vae", tooltip="The VAE of ToonCrafter Loader."),
                _size_input("width", 512),
                _size_input("height", 320),
                io.Int.Input(
                    "frames",
                    default=16,
                    min=2,
                    max=64,
                    tooltip="Frames of each segment, both keyframes included. The published model was trained for 16.",
                ),
                io.Int.Input(
                    "fps",
                    default=10,
                    min=1,
                    max=60,
                    tooltip="Frames per second the model is told, 5 to 30. Smaller means larger motion.",
                ),
                io.Combo.Input(
                    "fit",
                    options=list(FITS),
                    default=FITS[0],
                    tooltip="How keyframes of another shape are brought to width x height: crop cuts what sticks out, "
                    "pad repeats the picture's edges, stretch distorts.",
                ),
            ],
            outputs=[
                io.Conditioning.Output(display_name="positive", tooltip="Prompt and keyframes, for the Sampler."),
                io.Conditioning.Output(
                    display_name="negative", tooltip="Negative prompt and keyframes, for the Sampler."
                ),
                io.Latent.Output(
                    display_name="latent", tooltip="Empty latents, the frames of all segments as one batch."
                ),
                ReferencesWire.Output(display_name="references", tooltip="The keyframes' detail, for Dual-Ref Decode."),
            ],
        )

    @classmethod
    def execute(
        cls,
        keyframes: Tensor,
        positive: list[list[Any]],
        negative: list[list[Any]],
        clip_vision: ClipVisionModel | None,
        vae: ToonCrafterVAE | None,
        width: int,
        height: int,
        frames: int,
        fps: int,
        fit: Fit,
    ) -> io.NodeOutput:
        check_segments(len(keyframes), frames)
        check_size(width, height)
        _check_parts(clip_vision, vae)
        pictures = keyframes[..., :3].movedim(-1, 1).float()
        grey = torch.zeros(1, 3, clip_vision.image_size, clip_vision.image_size)
        shown = vision_tokens(clip_vision, pictures[:-1] * 2 - 1)
        nothing = vision_tokens(clip_vision, grey)
        latents, features = vae.encode_keyframes(fit_images(pictures, width, height, fit))
        samples = torch.zeros((len(pictures) - 1) * frames, *latents.shape[1:], device=management.intermediate_device())
        return io.NodeOutput(
            node_helpers.conditioning_set_values(positive, {KEY: Keyframes(latents, shown, frames, fps, fit)}),
            node_helpers.conditioning_set_values(negative, {KEY: Keyframes(latents, nothing, frames, fps, fit)}),
            {"samples": samples},
            References(features, frames),
        )


def _size_input(name: str, default: int) -> io.Int.Input:
    return io.Int.Input(
        name,
        default=default,
        min=64,
        max=4096,
        step=8,
        tooltip=f"{name.capitalize()} of the result in pixels, a multiple of 8. The published model was trained at "
        "512 x 320; multiples of 64 are what it is made for.",
    )


def _check_parts(clip_vision: ClipVisionModel | None, vae: object) -> None:
    if clip_vision is None:
        raise ValueError(
            "clip_vision is None: the checkpoint has no vision tower (pruned files have none). Connect Load CLIP "
            "Vision with an OpenCLIP ViT-H file."
        )
    if not isinstance(vae, ToonCrafterVAE):
        raise ValueError(
            f"vae is {'None' if vae is None else 'of another model'}; keyframes need the VAE of ToonCrafter Loader, "
            "whose encoder also makes the references for Dual-Ref Decode."
        )
