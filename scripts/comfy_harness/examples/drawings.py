"""Workflows that show line drawings, masks and transparency."""

from __future__ import annotations

from comfy_harness.examples.example import Example
from comfy_harness.examples.parts import SKETCH_ENCODER, animated, keyframe_titles, published_graph
from comfy_harness.prompts import changed, node, with_sketches
from tooncrafter_core import published


def sketch_guide() -> Example:
    return Example(
        "sketch_guide",
        "Sketches at a few frames",
        "Line drawings guide the frames they are made for; all others stay free. One number in frame_indices for each "
        "drawing of the batch, such as 4, 7, 11.",
        [published.MODEL, published.SKETCH_ENCODER],
        animated(with_sketches(published_graph(), ["tooncrafter_sketch_07.png"], "7", SKETCH_ENCODER)),
        {**keyframe_titles(2), "sketches": "Sketch for frame 7"},
    )


def line_art() -> Example:
    return Example(
        "line_art",
        "In-betweens of line art",
        "Keyframes without colour: line drawings in, line drawings out. Levels are not changed; a threshold or a "
        "clean-up node after the decoder makes hard lines.",
        [published.MODEL],
        animated(published_graph(["tooncrafter_sketch_00.png", "tooncrafter_sketch_15.png"])),
        keyframe_titles(2),
    )


def colourise_sketches() -> Example:
    return Example(
        "colourise_sketches",
        "Colour a drawn sequence",
        "A sketch for each frame says where everything is, and the keyframes say in which colours. The sketches "
        "are one animation that Load Image reads as a batch of 16. With one coloured keyframe only, use it for "
        "both.",
        [published.MODEL, published.SKETCH_ENCODER],
        animated(with_sketches(published_graph(), ["tooncrafter_sketches.webp"], "0-15", SKETCH_ENCODER)),
        {**keyframe_titles(2), "sketches": "Sketches of all 16 frames"},
    )


def transparent_line_art() -> Example:
    prompt = {
        **published_graph(["tooncrafter_sketch_00.png", "tooncrafter_sketch_15.png"]),
        "matte": node("ToonCrafterMatte", frames=["decode", 0], transparent=6.0, opaque=24.0),
    }
    return Example(
        "transparent_line_art",
        "A film with a transparent background",
        "Matte makes transparent what has the colour of the picture's border, here paper: good for a figure on a plain "
        "ground. The animation keeps the alpha channel; Save Image writes PNGs with it.",
        [published.MODEL],
        animated(changed(prompt, "save", images=["matte", 0])),
        keyframe_titles(2),
    )


def hold_region() -> Example:
    plain = published_graph()
    size = {name: plain["encode"]["inputs"][name] for name in ("width", "height")}
    prompt = {
        **changed(plain, "sampler", latent=["held", 0]),
        "fitted": node("ImageScale", image=["keyframes_0", 0], upscale_method="lanczos", **size, crop="center"),
        "still": node("RepeatImageBatch", image=["fitted", 0], amount=plain["encode"]["inputs"]["frames"]),
        "encoded": node("VAEEncode", pixels=["still", 0], vae=["loader", 3]),
        "mask": node("LoadImageMask", image="tooncrafter_mask.png", channel="red"),
        "held": node("SetLatentNoiseMask", samples=["encoded", 0], mask=["mask", 0]),
        "joined": node(
            "ImageCompositeMasked",
            destination=["still", 0],
            source=["decode", 0],
            mask=["mask", 0],
            x=0,
            y=0,
            resize_source=False,
        ),
    }
    return Example(
        "hold_region",
        "Hold a region by mask",
        "What is black in the mask stays as it is in the first keyframe, here the sun and both sides; frames are drawn "
        "where it is white. The mask is used twice: in the Sampler, so that what is drawn goes with what is held, and "
        "on the frames, so that what is held is the drawing itself. Leave room around what moves. Width, height and "
        "frames have to be those of Encode Keyframes.",
        [published.MODEL],
        animated(changed(prompt, "save", images=["joined", 0])),
        {**keyframe_titles(2), "mask": "White is drawn, black is held", "still": "As many as frames"},
    )
