"""Workflows that show what is done with sampled frames: timing, seeds, size."""

from __future__ import annotations

from comfy_harness.examples.example import Example, ModelFile
from comfy_harness.examples.parts import UPSCALER, animated, keyframe_titles, published_graph, video
from comfy_harness.prompts import changed, node
from tooncrafter_core import published

_NEEDS_UPSCALER = ModelFile(UPSCALER, "upscale_models", "", "any upscaling model")


def retimed_shot() -> Example:
    settings = {"frames_per_segment": 16, "curve": "sine in-out", "length": 24, "blend": False}
    prompt = {
        **published_graph(),
        "retimed": node("ToonCrafterRetime", frames=["decode", 0], **settings),
        "held": node("ToonCrafterHoldFrames", frames=["retimed", 0], frames_per_segment=24, hold=2),
    }
    return Example(
        "retimed_shot",
        "Timing: ease in and out, on twos",
        "Retime moves from keyframe to keyframe along a curve, here slowly at both ends and in 24 frames; Hold Frames "
        "shows each drawing for two frames. Both pick frames that are there, so lines stay sharp.",
        [published.MODEL],
        {**prompt, **video(["held", 0])},
        keyframe_titles(2),
    )


def seed_grid() -> Example:
    plain = changed(published_graph(), "sampler", seed=["seeds", 0])
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
        animated(changed(prompt, "save", images=["picked_decode", 0])),
        keyframe_titles(2),
    )


def upscale_chain() -> Example:
    prompt = {
        **published_graph(),
        "upscaler": node("UpscaleModelLoader", model_name=UPSCALER),
        "large": node("ImageUpscaleWithModel", upscale_model=["upscaler", 0], image=["decode", 0]),
        **video(["large", 0]),
    }
    return Example(
        "upscale_chain",
        "Upscale and save as video",
        "The frames are an ordinary image batch: here an upscaling model doubles their size, and Save Video "
        "writes an mp4.",
        [published.MODEL, _NEEDS_UPSCALER],
        prompt,
        keyframe_titles(2),
    )
