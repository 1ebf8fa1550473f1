"""Workflows that show keyframes and files: what goes in, and how much memory it takes."""

from __future__ import annotations

from typing import Any

from comfy_harness.examples.example import Example
from comfy_harness.examples.parts import PRUNED, TOWERS, animated, keyframe_titles, published_graph
from comfy_harness.prompts import (
    BUNDLED_LORA,
    BUNDLED_MODEL,
    BUNDLED_SKETCH_ENCODER,
    changed,
    interpolation,
    node,
    with_sketches,
)
from tooncrafter_core import published
from tooncrafter_core.batch.runners.comfyui_prompt import load_pictures

_TINY = {"width": 128, "height": 64, "fps": 24}
_TINY_SAMPLING = {"steps": 2, "guidance_scale": 1.0, "clean_end": True}
_TINY_MEMORY = "About 1 GB of main memory; no graphics card needed."


def quick_start() -> Example:
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
        animated(with_sketches(plain, ["tooncrafter_sketch_07.png"], "7", BUNDLED_SKETCH_ENCODER, 1.0)),
        {**keyframe_titles(2), "sketches": "Sketch for frame 7"},
        _TINY_MEMORY,
    )


def one_node() -> Example:
    names = "first", "top", "last"
    plain = interpolation([_drawing(names[0])], BUNDLED_MODEL, encode=_TINY, sample=_TINY_SAMPLING, text="ball")
    prompt = with_sketches(plain, [_drawing("sketch_04")], "8, 22", BUNDLED_SKETCH_ENCODER, 1.0)
    prompt["keyframes"] = _pictures(*names)
    prompt["sketches"] = _pictures("sketch_04", "sketch_11")
    return Example(
        "one_node",
        "A film in four nodes",
        "Three keyframes and two sketches, for frames 8 and 22, become 31 frames at 128 x 64 pixels. The node in the "
        "middle is all of quick_start: its corner opens it, and the node search offers it as In-between keyframes. "
        "Without a wire to sketches all frames are free.",
        [],
        animated(prompt),
        {**keyframe_titles(0), "sketches": "Sketches in order"},
        _TINY_MEMORY,
        folded=True,
    )


def _drawing(name: str) -> str:
    return f"tooncrafter_{name}.png"


def _pictures(*names: str) -> dict[str, Any]:
    return load_pictures([_drawing(name) for name in names])


def four_steps() -> Example:
    sampling = {"steps": 4, "guidance_scale": 1.0, "eta": 0.0, "clean_end": True}
    plain = interpolation(
        ["tooncrafter_first.png", "tooncrafter_last.png"], BUNDLED_MODEL, encode=_TINY, sample=sampling, text="ball"
    )
    lora = node("LoraLoaderModelOnly", model=["loader", 0], lora_name=BUNDLED_LORA, strength_model=1.0)
    return Example(
        "four_steps",
        "A LoRA for four steps",
        "How a LoRA that was trained for 4 steps goes into a graph. The small model shows it, which does with 2 steps"
        " by itself.\n\nIt goes with steps 4, guidance_scale 1, eta 0 and clean_end in the Sampler: with other"
        " settings take the LoRA out.",
        [],
        animated({**changed(plain, "sampler", model=["lora", 0]), "lora": lora}),
        keyframe_titles(2),
        _TINY_MEMORY,
    )


def published_weights() -> Example:
    return Example(
        "published_weights",
        "Interpolation with ToonCrafter's own weights",
        "Draws the 14 frames between two keyframes with the published settings. A smaller fps means larger motion.",
        [published.MODEL],
        animated(published_graph()),
        keyframe_titles(2),
    )


def smaller_files() -> Example:
    prompt = published_graph()
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
        animated(changed(prompt, "encode", clip_vision=["vision", 0])),
        keyframe_titles(2),
    )


def many_keyframes() -> Example:
    return Example(
        "many_keyframes",
        "Many keyframes",
        "Three keyframes make two segments of 16 frames, 31 frames in all: the keyframe in the middle comes once. Add "
        "keyframes by chaining more Batch Images nodes; the graphics card's memory does not grow with their number.",
        [published.MODEL],
        animated(published_graph(["tooncrafter_first.png", "tooncrafter_top.png", "tooncrafter_last.png"])),
        keyframe_titles(3),
    )


def loop() -> Example:
    return Example(
        "loop",
        "A loop",
        "With loop on, one more segment goes from the last keyframe back to the first: 30 frames that repeat without a "
        "seam. One keyframe alone works too.",
        [published.MODEL],
        animated(published_graph(encode={"loop": True})),
        keyframe_titles(2),
    )


def folder_of_keyframes() -> Example:
    prompt = published_graph()
    prompt["keyframes"] = _pictures("first", "top", "last")
    loaded = {name: made for name, made in prompt.items() if not name.startswith("keyframes_")}
    return Example(
        "folder_of_keyframes",
        "A folder of keyframes",
        "Load Pictures takes names of pictures, one a line, or a folder: its pictures then come as they are numbered, "
        "2 before 10, each at its own size. n of them make n - 1 segments.",
        [published.MODEL],
        animated(loaded),
        {"positive": "Prompt", "negative": "Negative prompt", "keyframes": "Keyframes in order"},
    )


def low_memory() -> Example:
    prompt = published_graph(encode={"width": 448, "height": 256}, two_pass=False)
    prompt["loader"]["inputs"]["weight_dtype"] = "fp8_e4m3fn"
    return Example(
        "low_memory",
        "Small graphics cards",
        "fp8 weights take half of fp16's memory, and a smaller picture less of everything else. Dual-Ref Decode "
        "works in parts by itself when memory is short; two_pass off takes half the time. ComfyUI's own --lowvram"
        " helps further.",
        [published.MODEL],
        animated(prompt),
        keyframe_titles(2),
    )
