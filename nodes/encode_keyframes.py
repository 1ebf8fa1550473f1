"""ToonCrafter Encode Keyframes: pictures and prompts to everything the other stages need."""

from __future__ import annotations

from typing import Any

import comfy.model_management as management
import node_helpers
import torch
from comfy.clip_vision import ClipVisionModel
from comfy_api.latest import io
from torch import Tensor

from ..tooncrafter_core.files.images import FITS, Fit, check_size, fit_images, pad_to_latents, to_rgb
from ..tooncrafter_core.finite import NotFiniteError, is_finite
from ..tooncrafter_core.timeline import check_segments, segment_count, segment_ends
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
            is_input_list=True,  # a list of images is one list of keyframes, of any sizes, and not one run for each
            inputs=[
                io.Image.Input(
                    "keyframes",
                    tooltip="Two or more keyframes in the order they are shown: a batch, or a list of images of any "
                    "sizes. Grey and transparent pictures come on white.",
                ),
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
                    tooltip="Frames of each segment, both keyframes included. The published model was trained for 16; "
                    "more run in overlapping windows of 16.",
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
                io.Boolean.Input(
                    "loop",
                    default=False,
                    optional=True,
                    tooltip="Go on from the last keyframe to the first: n segments instead of n - 1. The result stops "
                    "one frame before it would begin again. One keyframe is enough then.",
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
    def execute(cls, keyframes: list[Tensor], **settings: list[Any]) -> io.NodeOutput:
        pictures = [to_rgb(picture[None]) for batch in keyframes for picture in batch.movedim(-1, 1)]
        return _encode(pictures, **{name: _only(name, values) for name, values in settings.items()})


def _only(name: str, values: list[Any]) -> Any:
    """The one value of an input; only keyframes can be several."""
    if len(values) != 1:
        raise ValueError(f"{name} came as a list of {len(values)}; expected one. Only keyframes may be a list.")
    return values[0]


def _encode(
    pictures: list[Tensor],
    positive: list[list[Any]],
    negative: list[list[Any]],
    clip_vision: ClipVisionModel | None,
    vae: ToonCrafterVAE | None,
    width: int,
    height: int,
    frames: int,
    fps: int,
    fit: Fit,
    loop: bool = False,
) -> io.NodeOutput:
    check_segments(len(pictures), frames, loop)
    check_size(width, height)
    _check_parts(clip_vision, vae)
    segments = segment_count(len(pictures), loop)
    shown = torch.cat([vision_tokens(clip_vision, picture * 2 - 1) for picture in pictures[:segments]])
    nothing = vision_tokens(clip_vision, torch.zeros(1, 3, clip_vision.image_size, clip_vision.image_size))
    fitted = torch.cat([fit_images(picture, width, height, fit) for picture in pictures])
    latents, features = vae.encode_keyframes(pad_to_latents(fitted))
    _check_latents(latents)
    samples = torch.zeros(segments * frames, *latents.shape[1:], device=management.intermediate_device())
    ends = segment_ends(latents, loop)

    def with_keyframes(conditioning: list[list[Any]], vision: Tensor) -> list[list[Any]]:
        keyframes = Keyframes(ends, vision, frames, fps, loop, width, height, fit)
        return node_helpers.conditioning_set_values(conditioning, {KEY: keyframes})

    return io.NodeOutput(
        with_keyframes(positive, shown),
        with_keyframes(negative, nothing),
        {"samples": samples},
        References(features, frames, loop, width, height),
    )


def _size_input(name: str, default: int) -> io.Int.Input:
    return io.Int.Input(
        name,
        default=default,
        min=64,
        max=4096,
        tooltip=f"{name.capitalize()} of the result in pixels. The published model was trained at 512 x 320; "
        "multiples of 64 are what it is made for. Others are worked on at the next multiple of 8, and Dual-Ref Decode "
        "crops.",
    )


def _check_latents(latents: Tensor) -> None:
    broken = [index for index, latent in enumerate(latents, start=1) if not is_finite(latent)]
    if broken:
        raise NotFiniteError(
            f"The latents of keyframe {broken[0]} hold NaN or infinite values. If the picture holds none, the encoder "
            "overflowed: run the VAE in bfloat16 or float32 (ComfyUI's --bf16-vae or --fp32-vae)."
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
