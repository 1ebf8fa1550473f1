"""A shot as a prompt of ComfyUI, in its API form."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ..shots.shot import Shot

Prompt = dict[str, dict[str, Any]]


def node(class_type: str, **inputs: Any) -> dict[str, Any]:
    """One node; an input [id, index] is a wire from another node's output."""
    return {"class_type": class_type, "inputs": inputs}


SHOWN = "shown"
"""The node whose pictures are the result."""


@dataclass(frozen=True)
class ServerModels:
    """What the loaders' menus on the server call the files; without a sketch encoder there are no sketches."""

    checkpoint: str
    sketch_encoder: str | None


def shot_prompt(shot: Shot, models: ServerModels, uploaded: Mapping[str, str]) -> Prompt:
    """Loader, Encode Keyframes, maybe Sketch Guide, Sampler, Dual-Ref Decode, Preview Image.

    Args:
        shot: the shot; retiming is not part of the prompt.
        models: on the server.
        uploaded: names in the server's input folder, by the pictures' paths.
    """
    settings = shot.settings
    guide = "guide" if shot.sketches else "encode"
    return {
        "loader": node("ToonCrafterLoader", checkpoint=models.checkpoint, weight_dtype="default"),
        "keyframes": load_pictures([uploaded[str(file)] for file in shot.keyframes]),
        "positive": node("CLIPTextEncode", clip=["loader", 1], text=settings.prompt),
        "negative": node("CLIPTextEncode", clip=["loader", 1], text=settings.negative_prompt),
        "encode": _encode(shot),
        **(_sketches(shot, models, uploaded) if shot.sketches else {}),
        "sampler": node(
            "ToonCrafterSampler",
            model=["loader", 0],
            positive=[guide, 0],
            negative=[guide, 1],
            latent=["encode", 2],
            denoise=1.0,
            **{name: getattr(settings, name) for name in ("seed", "steps", "eta", "clean_end", *_GUIDANCE)},
        ),
        "decode": node(
            "ToonCrafterDualRefDecode",
            vae=["loader", 3],
            latent=["sampler", 0],
            references=["encode", 3],
            two_pass=settings.two_pass,
            keep_keyframes=settings.keep_keyframes,
        ),
        SHOWN: node("PreviewImage", images=["decode", 0]),
    }


_GUIDANCE = ("guidance_scale", "guidance_rescale", "guidance_from", "guidance_to")


def load_pictures(names: Sequence[str]) -> dict[str, Any]:
    """The node that reads pictures of the server's input folder as `read_image` does."""
    return node("ToonCrafterLoadPictures", pictures="\n".join(names), background="#ffffff")


def _encode(shot: Shot) -> dict[str, Any]:
    return node(
        "ToonCrafterEncodeKeyframes",
        keyframes=["keyframes", 0],
        positive=["positive", 0],
        negative=["negative", 0],
        clip_vision=["loader", 2],
        vae=["loader", 3],
        width=shot.settings.width,
        height=shot.settings.height,
        frames=", ".join(map(str, shot.counts)),
        fps=shot.settings.frame_rate,
        fit=shot.settings.fit,
        loop=shot.settings.loop,
    )


def _sketches(shot: Shot, models: ServerModels, uploaded: Mapping[str, str]) -> Prompt:
    return {
        "sketches": load_pictures([uploaded[str(sketch.picture)] for sketch in shot.sketches]),
        "sketch_loader": node("ToonCrafterSketchEncoderLoader", sketch_encoder=models.sketch_encoder),
        "guide": node(
            "ToonCrafterSketchGuide",
            positive=["encode", 0],
            negative=["encode", 1],
            control_net=["sketch_loader", 0],
            sketches=["sketches", 0],
            frame_indices=", ".join(str(sketch.frame) for sketch in shot.sketches),
            strength=shot.settings.sketch_strength,
            strengths=", ".join(map(str, shot.strengths)),
        ),
    }
