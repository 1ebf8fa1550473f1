"""The graphs that are shipped in `workflows/`: what is in them, and what their notes say."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from comfy_harness.prompts import (
    BUNDLED_LORA,
    BUNDLED_MODEL,
    BUNDLED_SKETCH_ENCODER,
    Prompt,
    changed,
    interpolation,
    node,
    with_sketches,
)
from tooncrafter_core import published

MODEL, SKETCH_ENCODER = published.MODEL.name, published.SKETCH_ENCODER.name
PRUNED, TOWERS = published.PRUNED.name, published.TEXT_TOWER.name
CONTROLNET, UPSCALER = "control_v11p_sd21_canny.safetensors", "RealESRGAN_x2plus.pth"


ModelFile = published.PublishedFile
"""A file that a workflow needs; without an address any file of its kind will do."""

_NEEDS_CONTROLNET = ModelFile(CONTROLNET, "controlnet", "", "any ControlNet for Stable Diffusion 2.x")
_NEEDS_UPSCALER = ModelFile(UPSCALER, "upscale_models", "", "any upscaling model")


def _line(file: ModelFile) -> str:
    """Markdown."""
    shown = f"[{file.name}]({file.address})" if file.address else file.name
    return f"- {shown} into models/{file.folder}: {file.about}"


_PUBLISHED_MEMORY = (
    "Counted for 512 x 320 pixels and fp16, not yet measured on a card: weights 2.9 GiB, sampling 0.8 GiB more, "
    "decoding 1.2 to 3.8 GiB. Where a card has less, ComfyUI keeps weights in main memory and decoding works in parts."
)
_TINY_MEMORY = "About 1 GB of main memory; no graphics card needed."
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
        files: what it needs.
        prompt: the graph in API form.
        titles: titles of nodes, by their names in `prompt`; others keep their own.
        memory: what to expect on a graphics card.
    """

    name: str
    title: str
    does: str
    files: Sequence[ModelFile]
    prompt: Prompt
    titles: Mapping[str, str] = field(default_factory=dict)
    memory: str = _PUBLISHED_MEMORY

    @property
    def note(self) -> str:
        """Markdown."""
        files = "\n".join(_line(file) for file in self.files) or "Nothing to download."
        parts = [f"# {self.title}", self.does, "## Files", files, *self._without_download(), "## Memory", self.memory]
        return "\n\n".join(parts)

    def _without_download(self) -> list[str]:
        """How the workflow runs with the small model that comes with the nodes; nothing where it does so anyway."""
        loaders = {made["class_type"] for made in self.prompt.values()}
        if not self.files:
            return []
        if "CLIPLoader" in loaders:
            return ["## Without a download", "See published_weights: the small model has towers of its own."]
        choices = [f"{BUNDLED_MODEL} in ToonCrafter Loader"]
        if "ToonCrafterSketchEncoderLoader" in loaders:
            choices.append(f"{BUNDLED_SKETCH_ENCODER} in ToonCrafter Sketch Encoder Loader")
        others = [f"{title} has to be bypassed" for kind, title in _NOT_SMALL.items() if kind in loaders]
        steps = "20 steps, and guidance 1" if "ToonCrafterSampler" in loaders else "20 steps, and cfg 1"
        text = f"Choose {' and '.join(choices)}. It is made for 128 x 64 pixels, 24 fps, {steps}."
        return ["## Without a download", " ".join([text, *(f"{other}." for other in others)])]

    def models(self, name: str) -> list[dict[str, str]]:
        """What ComfyUI's page offers to download when the file that a node names is missing."""
        chosen = self.prompt[name]["inputs"].values()
        return [
            {"name": file.name, "url": file.address, "directory": file.folder}
            for file in self.files
            if file.address and file.name in chosen and _LOADS[self.prompt[name]["class_type"]] == file.folder
        ]


_NOT_SMALL = {
    "ControlNetApplyAdvanced": "Apply ControlNet (its ControlNet is for Stable Diffusion 2.x)",
    "ImageUpscaleWithModel": "Upscale Image (using Model)",
}
"""Nodes that need a file of which there is no small one."""

_LOADS = {
    "ToonCrafterLoader": "checkpoints",
    "ToonCrafterSketchEncoderLoader": "controlnet",
    "CLIPLoader": "text_encoders",
    "CLIPVisionLoader": "clip_vision",
}
"""The folder of ComfyUI's models that a node reads from."""


def examples() -> list[Example]:
    """All of them, the simplest first."""
    return [
        _quick_start(),
        _four_steps(),
        _published_weights(),
        _smaller_files(),
        _sketch_guide(),
        _many_keyframes(),
        _loop(),
        _folder_of_keyframes(),
        _retimed_shot(),
        _seed_grid(),
        _line_art(),
        _colourise_sketches(),
        _transparent_line_art(),
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


def _video(images: list[Any]) -> Prompt:
    """Nodes that save an mp4."""
    return {
        "video": node("CreateVideo", images=images, fps=_SHOWN_RATE),
        "save": node("SaveVideo", video=["video", 0], filename_prefix="video/ToonCrafter", format="mp4", codec="h264"),
    }


def _published(keyframes: Sequence[str] = ("tooncrafter_first.png", "tooncrafter_last.png"), **changes: Any) -> Prompt:
    return interpolation(keyframes, MODEL, text=_TEXT, **changes)


def _keyframe_titles(count: int) -> dict[str, str]:
    return {f"keyframes_{i}": f"Keyframe {i + 1}" for i in range(count)} | {
        "keyframes": "Keyframes in order",
        "positive": "Prompt",
        "negative": "Negative prompt",
    }


def _quick_start() -> Example:
    plain = interpolation(
        ["tooncrafter_first.png", "tooncrafter_last.png"],
        BUNDLED_MODEL,
        encode=_TINY,
        sample=_TINY_SAMPLING,
        text="ball",
    )
    return Example(
        "quick_start",
        "Quick start with the small model that comes with the nodes",
        "Draws the 14 frames between two keyframes at 128 x 64 pixels, in seconds on a CPU; a line drawing guides"
        " frame 7.\n\nWithout a sketch: delete Sketch Guide and connect positive and negative of Encode Keyframes"
        " to the Sampler. For 512 x 320 pixels see published_weights.",
        [],
        _animated(with_sketches(plain, ["tooncrafter_sketch_07.png"], "7", BUNDLED_SKETCH_ENCODER, 1.5)),
        {**_keyframe_titles(2), "sketches": "Sketch for frame 7"},
        _TINY_MEMORY,
    )


def _four_steps() -> Example:
    sampling = {"steps": 4, "guidance_scale": 1.0, "eta": 0.0}
    plain = interpolation(
        ["tooncrafter_first.png", "tooncrafter_last.png"], BUNDLED_MODEL, encode=_TINY, sample=sampling, text="ball"
    )
    lora = node("LoraLoaderModelOnly", model=["loader", 0], lora_name=BUNDLED_LORA, strength_model=1.0)
    return Example(
        "four_steps",
        "Four steps instead of twenty",
        "The small model with a LoRA that was trained to do with 4 steps what the model does with 20. It goes with "
        "steps 4, guidance_scale 1 and eta 0 in the Sampler: with other settings take the LoRA out.",
        [],
        _animated({**changed(plain, "sampler", model=["lora", 0]), "lora": lora}),
        _keyframe_titles(2),
        _TINY_MEMORY,
    )


def _published_weights() -> Example:
    return Example(
        "published_weights",
        "Interpolation with ToonCrafter's own weights",
        "Draws the 14 frames between two keyframes with the published settings. A smaller fps means larger motion.",
        [published.MODEL],
        _animated(_published()),
        _keyframe_titles(2),
    )


def _smaller_files() -> Example:
    prompt = _published()
    prompt["loader"]["inputs"]["checkpoint"] = PRUNED
    prompt["text"] = node("CLIPLoader", clip_name=TOWERS, type="stable_diffusion")
    prompt["vision"] = node("CLIPVisionLoader", clip_name=TOWERS)
    prompt = changed(prompt, "positive", clip=["text", 0])
    prompt = changed(prompt, "negative", clip=["text", 0])
    return Example(
        "smaller_files",
        "Smaller files: 3.2 GB and OpenCLIP",
        "The same as published_weights, with ToonCrafter's weights in half precision. That file has no CLIP and no "
        "CLIP_VISION; both are OpenCLIP ViT-H, which you may have already.",
        [published.PRUNED, published.TEXT_TOWER, published.VISION_TOWER],
        _animated(changed(prompt, "encode", clip_vision=["vision", 0])),
        _keyframe_titles(2),
    )


def _sketch_guide() -> Example:
    return Example(
        "sketch_guide",
        "Sketches at a few frames",
        "Line drawings guide the frames they are made for; all others stay free. One number in frame_indices for each "
        "drawing of the batch, such as 4, 7, 11.",
        [published.MODEL, published.SKETCH_ENCODER],
        _animated(with_sketches(_published(), ["tooncrafter_sketch_07.png"], "7", SKETCH_ENCODER)),
        {**_keyframe_titles(2), "sketches": "Sketch for frame 7"},
    )


def _many_keyframes() -> Example:
    return Example(
        "many_keyframes",
        "Many keyframes",
        "Three keyframes make two segments of 16 frames, 31 frames in all: the keyframe in the middle comes once. Add "
        "keyframes by chaining more Batch Images nodes; the graphics card's memory does not grow with their number.",
        [published.MODEL],
        _animated(_published(["tooncrafter_first.png", "tooncrafter_top.png", "tooncrafter_last.png"])),
        _keyframe_titles(3),
    )


def _loop() -> Example:
    return Example(
        "loop",
        "A loop",
        "With loop on, one more segment goes from the last keyframe back to the first: 30 frames that repeat without a "
        "seam. One keyframe alone works too.",
        [published.MODEL],
        _animated(_published(encode={"loop": True})),
        _keyframe_titles(2),
    )


def _folder_of_keyframes() -> Example:
    prompt = _published()
    drawings = "tooncrafter_first.png\ntooncrafter_top.png\ntooncrafter_last.png"
    prompt["keyframes"] = node("ToonCrafterLoadPictures", pictures=drawings, background="#ffffff")
    loaded = {name: made for name, made in prompt.items() if not name.startswith("keyframes_")}
    return Example(
        "folder_of_keyframes",
        "A folder of keyframes",
        "Load Pictures takes names of pictures, one a line, or a folder: its pictures then come as they are numbered, "
        "2 before 10, each at its own size. n of them make n - 1 segments.",
        [published.MODEL],
        _animated(loaded),
        {"positive": "Prompt", "negative": "Negative prompt", "keyframes": "Keyframes in order"},
    )


def _retimed_shot() -> Example:
    settings = {"frames_per_segment": 16, "curve": "sine in-out", "length": 24, "blend": False}
    prompt = {
        **_published(),
        "retimed": node("ToonCrafterRetime", frames=["decode", 0], **settings),
        "held": node("ToonCrafterHoldFrames", frames=["retimed", 0], frames_per_segment=24, hold=2),
    }
    return Example(
        "retimed_shot",
        "Timing: ease in and out, on twos",
        "Retime moves from keyframe to keyframe along a curve, here slowly at both ends and in 24 frames; Hold Frames "
        "shows each drawing for two frames. Both pick frames that are there, so lines stay sharp.",
        [published.MODEL],
        {**prompt, **_video(["held", 0])},
        _keyframe_titles(2),
    )


def _seed_grid() -> Example:
    plain = changed(_published(), "sampler", seed=["seeds", 0])
    prompt = {
        **plain,
        "seeds": node("ToonCrafterSeeds", seeds="0-3"),
        "sheet": node("ToonCrafterSeedSheet", seeds=["seeds", 0], frames=["decode", 0], shown=5),
        "picked": node("ToonCrafterPickSeed", seeds=["seeds", 0], latents=["sampler", 0], seed=0),
        "picked_decode": node("ToonCrafterDualRefDecode", **{**plain["decode"]["inputs"], "latent": ["picked", 0]}),
        "save_sheet": node("SaveImage", images=["sheet", 0], filename_prefix="seeds"),
    }
    return Example(
        "seed_grid",
        "Several seeds side by side",
        "Draws the same in-betweens with four seeds and shows them in one picture, a row for each. Type the seed you "
        "like best into Pick Seed and run again: nothing is drawn twice, and that one goes on.",
        [published.MODEL],
        _animated(changed(prompt, "save", images=["picked_decode", 0])),
        _keyframe_titles(2),
    )


def _transparent_line_art() -> Example:
    prompt = {
        **_published(["tooncrafter_sketch_00.png", "tooncrafter_sketch_15.png"]),
        "matte": node("ToonCrafterMatte", frames=["decode", 0], transparent=6.0, opaque=24.0),
    }
    return Example(
        "transparent_line_art",
        "A film with a transparent background",
        "Matte makes transparent what has the colour of the picture's border, here paper: good for a figure on a plain "
        "ground. The animation keeps the alpha channel; Save Image writes PNGs with it.",
        [published.MODEL],
        _animated(changed(prompt, "save", images=["matte", 0])),
        _keyframe_titles(2),
    )


def _line_art() -> Example:
    return Example(
        "line_art",
        "In-betweens of line art",
        "Keyframes without colour: line drawings in, line drawings out. Levels are not changed; a threshold or a "
        "clean-up node after the decoder makes hard lines.",
        [published.MODEL],
        _animated(_published(["tooncrafter_sketch_00.png", "tooncrafter_sketch_15.png"])),
        _keyframe_titles(2),
    )


def _colourise_sketches() -> Example:
    return Example(
        "colourise_sketches",
        "Colour a drawn sequence",
        "A sketch for each frame says where everything is, and the keyframes say in which colours. The sketches "
        "are one animation that Load Image reads as a batch of 16. With one coloured keyframe only, use it for "
        "both.",
        [published.MODEL, published.SKETCH_ENCODER],
        _animated(with_sketches(_published(), ["tooncrafter_sketches.webp"], "0-15", SKETCH_ENCODER)),
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
        [published.MODEL],
        _animated(prompt),
        _keyframe_titles(2),
    )


def _controlnet_chain() -> Example:
    sketched = with_sketches(_published(), ["tooncrafter_sketch_07.png"], "7", SKETCH_ENCODER)
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
        "motion": node("LoadImage", image="tooncrafter_sketches.webp"),
        "edges": node("Canny", image=["motion", 0], low_threshold=0.2, high_threshold=0.5),
        "other_loader": node("ControlNetLoader", control_net_name=CONTROLNET),
        "applied": apply,
    }
    return Example(
        "controlnet_chain",
        "Sketch Guide and another ControlNet",
        "ControlNets for Stable Diffusion 2.x chain with the Sketch Guide in either order. Give them one picture "
        "for each frame (here the 16 pictures of an animation), or one for all.",
        [published.MODEL, published.SKETCH_ENCODER, _NEEDS_CONTROLNET],
        _animated(prompt),
        {**_keyframe_titles(2), "sketches": "Sketch for frame 7", "motion": "A picture for each frame"},
    )


def _upscale_chain() -> Example:
    prompt = {
        **_published(),
        "upscaler": node("UpscaleModelLoader", model_name=UPSCALER),
        "large": node("ImageUpscaleWithModel", upscale_model=["upscaler", 0], image=["decode", 0]),
        **_video(["large", 0]),
    }
    return Example(
        "upscale_chain",
        "Upscale and save as video",
        "The frames are an ordinary image batch: here an upscaling model doubles their size, and Save Video "
        "writes an mp4.",
        [published.MODEL, _NEEDS_UPSCALER],
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
        [published.MODEL],
        _animated(prompt),
        _keyframe_titles(2),
    )
