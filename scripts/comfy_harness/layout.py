"""Where the nodes of a shipped graph stand: in titled groups, column by column, the note first."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from comfy_harness import folded
from comfy_harness.prompts import Prompt

Size = tuple[float, float]

COLUMN_HEIGHT, GROUP_HEIGHT = 1220, 1160
"""Groups go below each other, and nodes in a group, up to these heights; at 1600 x 1000 pixels the whole graph is then
readable."""

VIEW = 75, 100, 1500, 850
"""Left, top, width and height of what the page leaves free in a window of 1600 x 1000 pixels."""

NODE_GAP, GROUP_GAP, COLUMN_GAP = 12, 30, 20

OURS_HIGHER, OTHERS_HIGHER = 48, 16
"""Sizes are those of classic nodes; Vue nodes of the newest page are higher by up to these, and have room below."""

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

_AS_HIGH = {
    "LoadImage",
    "LoadImageMask",
    "ToonCrafterSampler",
    "SaveAnimatedWEBP",
    "SaveImage",
    "SaveVideo",
    folded.NAME,
}
"""Nodes that are made large enough for what they show, as Vue nodes too."""

_PICTURES = {"keyframes": "Keyframes", "sketches": "Sketches"}
"""Groups of pictures, by the input that they go into."""


@dataclass(frozen=True)
class Group:
    """A titled frame around some nodes, in the order of the graph."""

    title: str
    nodes: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Layout:
    """Positions of nodes by name, width and height of all, and each group's (x, y, width, height)."""

    positions: dict[str, list[float]]
    size: list[float]
    frames: dict[str, list[float]] = field(default_factory=dict)

    def view(self) -> dict[str, Any]:
        """What the page keeps of the canvas: its scale, and the offset before that, with all in view."""
        left, top, width, height = VIEW
        scale = round(min(width / self.size[0], height / self.size[1], 1.0), 3)
        margin = (width / scale - self.size[0]) / 2
        return {"scale": scale, "offset": [round(left / scale + margin), round(top / scale + NODE_HEADING)]}


def grouped(prompt: Prompt) -> list[Group]:
    """The groups that have nodes, from the first of the way to the last; what saves is the last of its group."""
    groups = {title: Group(title) for title in GROUPS}
    for name in sorted(prompt, key=lambda name: prompt[name]["class_type"].startswith("Save")):
        groups[_title(prompt, name)].nodes.append(name)
    return [group for group in groups.values() if group.nodes]


def lay_out(prompt: Prompt, sizes: Mapping[str, Size], note: str) -> Layout:
    """Groups below each other while a column has room, then the next column; the note stands on top of the first."""
    sizes = {
        name: _with_room(prompt[name]["class_type"], size) if name in prompt else size for name, size in sizes.items()
    }
    layout = Layout({note: [0.0, 0.0]}, [sizes[note][0], sizes[note][1] + NODE_HEADING])
    x, y, width = 0.0, sizes[note][1] + GROUP_GAP, sizes[note][0]
    for group in grouped(prompt):
        columns = list(_columns(group, sizes))
        widths = [max(sizes[name][0] for name in column) for column in columns]
        wide = sum(widths) + (len(columns) + 1) * PADDING
        high = max(_height(column, sizes) for column in columns)
        if y and y + high > COLUMN_HEIGHT:
            x, y, width = x + width + COLUMN_GAP, -float(NODE_HEADING), 0.0
        layout.frames[group.title] = [x, y, wide, high]
        layout.size[:] = [max(layout.size[0], x + wide), max(layout.size[1], y + high + NODE_HEADING)]
        left = x + PADDING
        for column, across in zip(columns, widths, strict=True):
            below = y + HEADING
            for name in column:
                layout.positions[name] = [left, below + NODE_HEADING]
                below += sizes[name][1] + NODE_HEADING + NODE_GAP
            left += across + PADDING
        y, width = y + high + GROUP_GAP, max(width, wide)
    return layout


def _with_room(kind: str, size: Size) -> Size:
    """Of a node of a type, with what Vue nodes are higher."""
    higher = 0 if kind in _AS_HIGH else OURS_HIGHER if kind.startswith("ToonCrafter") else OTHERS_HIGHER
    return size[0], size[1] + higher


def _columns(group: Group, sizes: Mapping[str, Size]) -> Iterator[list[str]]:
    """The nodes of a group, in one column where that is not too high."""
    column: list[str] = []
    for name in group.nodes:
        if column and _height([*column, name], sizes) > GROUP_HEIGHT:
            yield column
            column = []
        column.append(name)
    yield column


def _height(column: Sequence[str], sizes: Mapping[str, Size]) -> float:
    """Of a group with these nodes below each other."""
    nodes = sum(sizes[name][1] + NODE_HEADING for name in column)
    return HEADING + nodes + (len(column) - 1) * NODE_GAP + PADDING


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
