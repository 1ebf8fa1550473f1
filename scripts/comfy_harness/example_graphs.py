"""The graphs that are shipped in `workflows/`: what is in them, and what their notes say."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from comfy_harness.prompts import (
    BUNDLED_MODEL,
    BUNDLED_SKETCH_ENCODER,
    Prompt,
    changed,
    interpolation,
    node,
    with_sketches,
)

MODEL, SKETCH_ENCODER = "model.ckpt", "sketch_encoder.ckpt"
CONTROLNET, UPSCALER = "control_v11p_sd21_canny.safetensors", "RealESRGAN_x2plus.pth"

_NEEDS_MODEL = f"models/checkpoints/{MODEL} (ToonCrafter)"
_NEEDS_SKETCH_ENCODER = f"models/controlnet/{SKETCH_ENCODER} (ToonCrafter's sketch encoder)"
_TINY = {"width": 128, "height": 64, "fps": 24}
_TINY_SAMPLING = {"steps": 20, "guidance_scale": 1.0}
_TEXT = "a cartoon ball hops over a meadow"
_SHOWN_RATE = 12
"""Frames per second of the animations."""


@dataclass(frozen=True)
class Example:
    """One workflow.

    Attributes:
        name: of its file.
        title: of its note.
        does: what it does and how to change it.
        files: what it needs below ComfyUI's folder, each with where it comes from.
        prompt: the graph in API form.
        titles: titles of nodes, by their names in `prompt`; others keep their own.
    """

    name: str
    title: str
    does: str
    files: Sequence[str]
    prompt: Prompt
    titles: Mapping[str, str] = field(default_factory=dict)

    @property
    def note(self) -> str:
        """Markdown."""
        needed = "\n".join(f"- {file}" for file in self.files) or "none to download."
        return (
            f"# {self.title}\n\n{self.does}\n\n## Files:\n\n{needed}\n\nThe pictures are in the pack's "
            "assets/keyframes folder: put them into ComfyUI's input folder, or choose your own."
        )


def examples() -> list[Example]:
    """All of them, the simplest first."""
    return [
        _quick_start(),
        _published_weights(),
        _sketch_guide(),
        _many_keyframes(),
        _loop(),
        _line_art(),
        _colourise_sketches(),
        _stock_ksampler(),
        _controlnet_chain(),
        _upscale_chain(),
        _low_memory(),
    ]


def _animated(prompt: Prompt) -> Prompt:
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


def _published(keyframes: Sequence[str] = ("first.png", "last.png"), **changes: Any) -> Prompt:
    return interpolation(keyframes, MODEL, text=_TEXT, **changes)


def _keyframe_titles(count: int) -> dict[str, str]:
    return {f"keyframes_{i}": f"Keyframe {i + 1}" for i in range(count)} | {
        "keyframes": "Keyframes in order",
        "positive": "Prompt",
        "negative": "Negative prompt",
    }


def _quick_start() -> Example:
    plain = interpolation(["first.png", "last.png"], BUNDLED_MODEL, encode=_TINY, sample=_TINY_SAMPLING, text="ball")
    return Example(
        "quick_start",
        "Quick start with the small model that comes with the nodes",
        "Draws the 14 frames between two keyframes at 128 x 64 pixels, in seconds on a CPU; a line drawing guides"
        " frame 7.\n\nWithout a sketch: delete Sketch Guide and connect positive and negative of Encode Keyframes"
        " to the Sampler. For 512 x 320 pixels see published_weights.",
        [],
        _animated(with_sketches(plain, ["sketch_07.png"], "7", BUNDLED_SKETCH_ENCODER, 1.5)),
        {**_keyframe_titles(2), "sketches": "Sketch for frame 7"},
    )


def _published_weights() -> Example:
    return Example(
        "published_weights",
        "Interpolation with ToonCrafter's own weights",
        "Draws the 14 frames between two keyframes with the published settings. A smaller fps means larger "
        "motion. With a file without CLIP and CLIP_VISION, take them from Load CLIP and Load CLIP Vision "
        "(OpenCLIP ViT-H).",
        [_NEEDS_MODEL],
        _animated(_published()),
        _keyframe_titles(2),
    )


def _sketch_guide() -> Example:
    return Example(
        "sketch_guide",
        "Sketches at a few frames",
        "Line drawings guide the frames they are made for; all others stay free. One number in frame_indices for each "
        "drawing of the batch, such as 4, 7, 11.",
        [_NEEDS_MODEL, _NEEDS_SKETCH_ENCODER],
        _animated(with_sketches(_published(), ["sketch_07.png"], "7", SKETCH_ENCODER)),
        {**_keyframe_titles(2), "sketches": "Sketch for frame 7"},
    )


def _many_keyframes() -> Example:
    return Example(
        "many_keyframes",
        "Many keyframes",
        "Three keyframes make two segments of 16 frames, 31 frames in all: the keyframe in the middle comes once. Add "
        "keyframes by chaining more Batch Images nodes; the graphics card's memory does not grow with their number.",
        [_NEEDS_MODEL],
        _animated(_published(["first.png", "top.png", "last.png"])),
        _keyframe_titles(3),
    )


def _loop() -> Example:
    return Example(
        "loop",
        "A loop",
        "With loop on, one more segment goes from the last keyframe back to the first: 30 frames that repeat without a "
        "seam. One keyframe alone works too.",
        [_NEEDS_MODEL],
        _animated(_published(encode={"loop": True})),
        _keyframe_titles(2),
    )


def _line_art() -> Example:
    return Example(
        "line_art",
        "In-betweens of line art",
        "Keyframes without colour: line drawings in, line drawings out. Levels are not changed; a threshold or a "
        "clean-up node after the decoder makes hard lines.",
        [_NEEDS_MODEL],
        _animated(_published(["sketch_00.png", "sketch_15.png"])),
        _keyframe_titles(2),
    )


def _colourise_sketches() -> Example:
    return Example(
        "colourise_sketches",
        "Colour a drawn sequence",
        "A sketch for each frame says where everything is, and the keyframes say in which colours. The sketches "
        "are one animation that Load Image reads as a batch of 16. With one coloured keyframe only, use it for "
        "both.",
        [_NEEDS_MODEL, _NEEDS_SKETCH_ENCODER],
        _animated(with_sketches(_published(), ["sketches.webp"], "0-15", SKETCH_ENCODER)),
        {**_keyframe_titles(2), "sketches": "Sketches of all 16 frames"},
    )


def _stock_ksampler() -> Example:
    wires = {
        "model": ["guided", 0],
        "positive": ["encode", 0],
        "negative": ["encode", 1],
        "latent_image": ["encode", 2],
    }
    settings = {"seed": 0, "steps": 30, "cfg": 7.5, "sampler_name": "euler", "scheduler": "simple", "denoise": 1.0}
    prompt = {
        **_published(),
        "guided": node("RescaleCFG", model=["loader", 0], multiplier=0.7),
        "sampler": node("KSampler", **wires, **settings),
    }
    return Example(
        "stock_ksampler",
        "ComfyUI's own KSampler",
        "The frames travel as a batch, so stock samplers and schedulers work. RescaleCFG keeps contrast in check, as "
        "guidance_rescale of our Sampler does. Model patches such as EasyCache go between Loader and KSampler.",
        [_NEEDS_MODEL],
        _animated(prompt),
        _keyframe_titles(2),
    )


def _controlnet_chain() -> Example:
    sketched = with_sketches(_published(), ["sketch_07.png"], "7", SKETCH_ENCODER)
    apply = node(
        "ControlNetApplyAdvanced",
        positive=["guide", 0],
        negative=["guide", 1],
        control_net=["other_loader", 0],
        image=["edges", 0],
        strength=0.5,
        start_percent=0.0,
        end_percent=0.6,
    )
    prompt = {
        **changed(sketched, "sampler", positive=["applied", 0], negative=["applied", 1]),
        "motion": node("LoadImage", image="sketches.webp"),
        "edges": node("Canny", image=["motion", 0], low_threshold=0.2, high_threshold=0.5),
        "other_loader": node("ControlNetLoader", control_net_name=CONTROLNET),
        "applied": apply,
    }
    return Example(
        "controlnet_chain",
        "Sketch Guide and another ControlNet",
        "ControlNets for Stable Diffusion 2.x chain with the Sketch Guide in either order. Give them one picture "
        "for each frame (here the 16 pictures of an animation), or one for all.",
        [_NEEDS_MODEL, _NEEDS_SKETCH_ENCODER, f"models/controlnet/{CONTROLNET} (any ControlNet for SD 2.x)"],
        _animated(prompt),
        {**_keyframe_titles(2), "sketches": "Sketch for frame 7", "motion": "A picture for each frame"},
    )


def _upscale_chain() -> Example:
    prompt = {
        **_published(),
        "upscaler": node("UpscaleModelLoader", model_name=UPSCALER),
        "large": node("ImageUpscaleWithModel", upscale_model=["upscaler", 0], image=["decode", 0]),
        "video": node("CreateVideo", images=["large", 0], fps=_SHOWN_RATE),
        "save": node("SaveVideo", video=["video", 0], filename_prefix="video/ToonCrafter", format="mp4", codec="h264"),
    }
    return Example(
        "upscale_chain",
        "Upscale and save as video",
        "The frames are an ordinary image batch: here an upscaling model doubles their size, and Save Video "
        "writes an mp4.",
        [_NEEDS_MODEL, f"models/upscale_models/{UPSCALER} (any upscaling model)"],
        prompt,
        _keyframe_titles(2),
    )


def _low_memory() -> Example:
    prompt = _published(encode={"width": 448, "height": 256}, two_pass=False)
    prompt["loader"]["inputs"]["weight_dtype"] = "fp8_e4m3fn"
    return Example(
        "low_memory",
        "Small graphics cards",
        "fp8 weights take half of fp16's memory, and a smaller picture less of everything else. Dual-Ref Decode "
        "works in parts by itself when memory is short; two_pass off takes half the time. ComfyUI's own --lowvram"
        " helps further.",
        [_NEEDS_MODEL],
        _animated(prompt),
        _keyframe_titles(2),
    )
