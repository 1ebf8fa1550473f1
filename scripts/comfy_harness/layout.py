"""Where the nodes of a shipped graph stand: in titled groups, column by column, the note first."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from comfy_harness import folded
from comfy_harness.prompts import Prompt

Size = tuple[float, float]

COLUMN_HEIGHT = 1000
"""Groups go below each other up to this height; at 1600 x 1000 pixels the whole graph is then readable."""

NODE_GAP, GROUP_GAP, COLUMN_GAP = 20, 30, 20
PADDING, HEADING = 15, 45
"""Of a group around its nodes, and above them."""

NODE_HEADING = 30
"""The title bar of a node is above its position."""

GROUPS = {
    "Model": (
        "#88A",
        {
            "ToonCrafterLoader",
            "LoraLoaderModelOnly",
            "CLIPLoader",
            "CLIPVisionLoader",
            "CLIPTextEncode",
            "RescaleCFG",
        },
    ),
    "Keyframes": ("#3f789e", {"LoadImage", "ImageBatch", "ToonCrafterLoadPictures"}),
    "Sketches": ("#b06634", {"ToonCrafterSketchEncoderLoader", "ToonCrafterExtractSketch", "ToonCrafterSketchGuide"}),
    "Another ControlNet": ("#b58b2a", {"ControlNetLoader", "Canny", "ControlNetApplyAdvanced"}),
    "Held region": (
        "#6a8a5a",
        {"ImageScale", "RepeatImageBatch", "VAEEncode", "LoadImageMask", "SetLatentNoiseMask"},
    ),
    "In-betweens": (
        "#8A8",
        {
            "ToonCrafterEncodeKeyframes",
            "ToonCrafterSeeds",
            "ToonCrafterSampler",
            "KSampler",
            folded.NAME,
        },
    ),
    "Seeds": ("#7a6aa8", {"ToonCrafterSeedSheet", "ToonCrafterPickSeed"}),
    "Timing": ("#5a9a9a", {"ToonCrafterRetime", "ToonCrafterHoldFrames"}),
    "Result": (
        "#A88",
        {
            "ToonCrafterDualRefDecode",
            "ToonCrafterMatte",
            "ImageCompositeMasked",
            "UpscaleModelLoader",
            "ImageUpscaleWithModel",
            "SaveAnimatedWEBP",
            "SaveImage",
            "CreateVideo",
            "SaveVideo",
        },
    ),
}
"""Title: its colour, and the nodes that stand in it; pictures stand with what first uses them."""


_PICTURES = {"keyframes": "Keyframes", "sketches": "Sketches"}
"""Groups of pictures, by the input that they go into."""


@dataclass(frozen=True)
class Group:
    """A titled frame around some nodes, in the order of the graph."""

    title: str
    nodes: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Layout:
    """Positions of nodes by name, and each group's (x, y, width, height)."""

    positions: dict[str, list[float]] = field(default_factory=dict)
    frames: dict[str, list[float]] = field(default_factory=dict)


def grouped(prompt: Prompt) -> list[Group]:
    """The groups that have nodes, from the first of the way to the last; what saves is the last of its group."""
    groups = {title: Group(title) for title in GROUPS}
    for name in sorted(prompt, key=lambda name: prompt[name]["class_type"].startswith("Save")):
        groups[_title(prompt, name)].nodes.append(name)
    return [group for group in groups.values() if group.nodes]


def lay_out(prompt: Prompt, sizes: Mapping[str, Size], note: str) -> Layout:
    """Groups below each other while a column has room, then the next column; the note stands on top of the first."""
    layout = Layout({note: [0.0, 0.0]})
    x, y, width = 0.0, sizes[note][1] + GROUP_GAP, sizes[note][0]
    for group in grouped(prompt):
        wide = max(sizes[name][0] for name in group.nodes) + 2 * PADDING
        high = HEADING + sum(sizes[name][1] + NODE_HEADING + NODE_GAP for name in group.nodes)
        if y and y + high > COLUMN_HEIGHT:
            x, y, width = x + width + COLUMN_GAP, -float(NODE_HEADING), 0.0
        layout.frames[group.title] = [x, y, wide, high]
        below = y + HEADING
        for name in group.nodes:
            layout.positions[name] = [x + PADDING, below + NODE_HEADING]
            below += sizes[name][1] + NODE_HEADING + NODE_GAP
        y, width = y + high + GROUP_GAP, max(width, wide)
    return layout


def _title(prompt: Prompt, name: str) -> str:
    """The group of a node; pictures stand where they are used."""
    kind = prompt[name]["class_type"]
    if kind in ("LoadImage", "ImageBatch", "ToonCrafterLoadPictures"):
        uses = [
            (other, key)
            for other, made in prompt.items()
            for key, value in made["inputs"].items()
            if value == [name, 0]
        ]
        other, key = uses[0] if uses else (name, "")
        if key in _PICTURES:
            return _PICTURES[key]
        kind = prompt[other]["class_type"]
        if kind == "ImageBatch" and other != name:
            return _title(prompt, other)
    return next(title for title, (_, kinds) in GROUPS.items() if kind in kinds)
