"""Workflows that show ComfyUI's own samplers and ControlNets in the chain."""

from __future__ import annotations

from comfy_harness.examples.example import Example, ModelFile
from comfy_harness.examples.parts import CONTROLNET, SKETCH_ENCODER, animated, keyframe_titles, published_graph
from comfy_harness.prompts import changed, node, with_sketches
from tooncrafter_core import published

_NEEDS_CONTROLNET = ModelFile(CONTROLNET, "controlnet", "", "any ControlNet for Stable Diffusion 2.x")


def stock_ksampler() -> Example:
    wires = {
        "model": ["guided", 0],
        "positive": ["encode", 0],
        "negative": ["encode", 1],
        "latent_image": ["encode", 2],
    }
    settings = {"seed": 0, "steps": 30, "cfg": 7.5, "sampler_name": "euler", "scheduler": "simple", "denoise": 1.0}
    prompt = {
        **published_graph(),
        "guided": node("RescaleCFG", model=["loader", 0], multiplier=0.7),
        "sampler": node("KSampler", **wires, **settings),
    }
    return Example(
        "stock_ksampler",
        "ComfyUI's own KSampler",
        "The frames travel as a batch, so stock samplers and schedulers work. RescaleCFG keeps contrast in check, as "
        "guidance_rescale of our Sampler does. Model patches such as EasyCache go between Loader and KSampler.",
        [published.MODEL],
        animated(prompt),
        keyframe_titles(2),
    )


def controlnet_chain() -> Example:
    sketched = with_sketches(published_graph(), ["tooncrafter_sketch_07.png"], "7", SKETCH_ENCODER)
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
        animated(prompt),
        {**keyframe_titles(2), "sketches": "Sketch for frame 7", "motion": "A picture for each frame"},
    )
