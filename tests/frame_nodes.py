"""Nodes beside the main graph, each on pictures, latents, seeds or shots that a graph of the tests has."""

from __future__ import annotations

from comfy_harness.prompts import Prompt, node

_PICTURES, _LATENT = ["kept_keyframes", 0], ["kept_encode", 2]
_FRAMES = {"frames": _PICTURES, "frames_per_segment": 2}
_TINTS = {"before_tint": "#dc2626", "after_tint": "#16a34a"}

FRAME_NODES: Prompt = {
    "matched": node("ToonCrafterMatchColours", **_FRAMES, strength=1.0),
    "matted": node("ToonCrafterMatte", frames=_PICTURES, transparent=6.0, opaque=24.0),
    "retimed": node("ToonCrafterRetime", **_FRAMES, curve="linear", length=4, blend=False),
    "held": node("ToonCrafterHoldFrames", **_FRAMES, hold=2),
    "trimmed": node("ToonCrafterTrimKeyframes", **_FRAMES, drop=0),
    "there_and_back": node("ToonCrafterPingPong", frames=_PICTURES, repeat_ends=False),
    "distinct": node("ToonCrafterDropDuplicates", frames=_PICTURES, threshold=4.0),
    "sheet": node("ToonCrafterContactSheet", frames=_PICTURES, columns=2, keyframes="0", sketches=""),
    "skin": node("ToonCrafterOnionSkin", frames=_PICTURES, frame=0, before=1, after=1, **_TINTS, opacity=0.5),
    "seeds": node("ToonCrafterSeeds", seeds="0"),
    "seed_sheet": node("ToonCrafterSeedSheet", seeds=["seeds", 0], frames=_PICTURES, shown=2),
    "gif": node("ToonCrafterSaveGif", frames=_PICTURES, filename_prefix="wrong", fps=12),
    "lines": node("ToonCrafterExtractSketch", **_FRAMES, pick="0", extractor="built-in"),
    "pictures": node("ToonCrafterLoadPictures", pictures="tooncrafter_first.png", background="#ffffff"),
    "shots": node("ToonCrafterShotList", shot_list="shots.jsonl"),
    "shot": node("ToonCrafterTakeShot", shots=["shots", 0], index=0),
    "picked": node("ToonCrafterPickSeed", seeds=["seeds", 0], latents=_LATENT, seed=0),
}
"""By names of ours; each but Save GIF has an output, for a sink behind it. Shots are in `SHOTS`."""

SHOTS = '{"name": "sc010", "keyframes": ["tooncrafter_first.png", "tooncrafter_last.png"]}\n'
"""The list `shots.jsonl` in ComfyUI's input folder."""
