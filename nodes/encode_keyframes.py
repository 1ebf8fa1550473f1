"""ToonCrafter Encode Keyframes: pictures and prompts to everything the other stages need."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import comfy.model_management as management
import node_helpers
import torch
from comfy.clip_vision import ClipVisionModel
from comfy_api.latest import io
from torch import Tensor

from ..tooncrafter_core.files.images import FITS, Fit, fit_images, pad_to_latents
from ..tooncrafter_core.finite import NotFiniteError, is_finite
from ..tooncrafter_core.limits import Job
from ..tooncrafter_core.memory import naming_lack
from ..tooncrafter_core.timeline import segment_ends, segment_frames, written
from . import checks
from .frame_counts import frames_input
from .host.conditioning import KEY, LAYOUT_KEY, Keyframes, Layout
from .host.towers import vision_tokens
from .types import CATEGORY, References, ReferencesWire

_LONGEST = 226
"""Frames of a segment that a model trained for 16 reaches, see `coarse_to_fine`."""


class ToonCrafterEncodeKeyframes(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="ToonCrafterEncodeKeyframes",
            display_name="ToonCrafter Encode Keyframes",
            category=CATEGORY,
            description="Encodes two or more keyframes. n keyframes make n - 1 segments; neighbouring segments share "
            "a keyframe, which is one frame of the result: (n - 1) x (frames - 1) + 1 frames in all where every "
            "segment has as many.",
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
                frames_input(
                    "frames",
                    "16",
                    "Frames of each segment, both keyframes included: 16 for all, or one number for each, such as "
                    "16, 24, 12; up to 226. The published model was trained for 16. With more, ToonCrafter Sampler (no "
                    "stock one) draws 16 over the whole segment, then the others.",
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
    @naming_lack("Encoding the keyframes")
    def execute(cls, keyframes: list[Tensor], **wires: list[Any]) -> io.NodeOutput:
        given = {name: checks.single(name, values, "keyframes") for name, values in wires.items()}
        clip_vision, vae = checks.clip_vision(given.pop("clip_vision")), checks.vae(given.pop("vae"))
        prompts = [checks.conditioning(given.pop(name), name) for name in ("positive", "negative")]
        widgets = checks.widgets(cls, given)
        pictures = [picture[None] for batch in keyframes for picture in checks.pictures(batch, "keyframes")]
        counts = segment_frames(len(pictures), widgets.pop("frames"), widgets.get("loop", False))
        _check_lengths(counts)
        settings = _Settings(counts, **widgets)
        vae.check_room(settings.job(len(pictures)))
        views = _views(clip_vision, pictures[: len(counts)])
        fitted = torch.cat([fit_images(p, settings.width, settings.height, settings.fit) for p in pictures])
        padded = pad_to_latents(fitted)
        latents, features = vae.encode_keyframes(padded)
        _check_latents(latents)
        positive, negative = (
            _with_keyframes(prompt, settings.keyframes(latents, view))
            for prompt, view in zip(prompts, views, strict=True)
        )
        return io.NodeOutput(positive, negative, settings.empty_latent(latents), settings.references(padded, features))


@dataclass(frozen=True)
class _Settings:
    """The node's widgets, and how many frames each segment has by them."""

    frames: tuple[int, ...]
    width: int
    height: int
    fps: int
    fit: Fit
    loop: bool = False

    def job(self, keyframes: int) -> Job:
        return Job(keyframes, self.frames, self.width, self.height)

    def keyframes(self, latents: Tensor, vision: Tensor) -> Keyframes:
        ends = segment_ends(latents, self.loop)
        return Keyframes(ends, vision, self.frames, self.fps, self.loop, self.width, self.height, self.fit)

    def references(self, keyframes: Tensor, features: list[Tensor]) -> References:
        return References(keyframes, features, self.frames, self.loop, self.width, self.height)

    def empty_latent(self, latents: Tensor) -> dict[str, Any]:
        """The LATENT that goes with the keyframes' latents (n, c, h, w)."""
        shape = sum(self.frames), *latents.shape[1:]
        layout = Layout(self.frames, self.loop)
        return {"samples": torch.zeros(shape, device=management.intermediate_device()), LAYOUT_KEY: layout}


def _views(clip_vision: ClipVisionModel, pictures: list[Tensor]) -> tuple[Tensor, Tensor]:
    """Vision tokens of the pictures for the positive prompt, and of a grey one for the negative."""
    shown = torch.cat([vision_tokens(clip_vision, picture * 2 - 1) for picture in pictures])
    size = clip_vision.image_size
    return shown, vision_tokens(clip_vision, torch.zeros(1, 3, size, size))


def _with_keyframes(prompt: checks.Conditioning, keyframes: Keyframes) -> checks.Conditioning:
    return node_helpers.conditioning_set_values(prompt, {KEY: keyframes})


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


def _check_lengths(frames: tuple[int, ...]) -> None:
    if max(frames) > _LONGEST:
        raise ValueError(
            f"frames is {written(frames)}; expected {_LONGEST} or fewer for a segment. Add a keyframe in between."
        )


def _check_latents(latents: Tensor) -> None:
    broken = [index for index, latent in enumerate(latents, start=1) if not is_finite(latent)]
    if broken:
        raise NotFiniteError(
            f"The latents of keyframe {broken[0]} hold NaN or infinite values: encoding it overflowed. Run the VAE in "
            "bfloat16 or float32 (ComfyUI's --bf16-vae or --fp32-vae)."
        )
