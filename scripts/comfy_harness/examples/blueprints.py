"""The graphs that ComfyUI's node search offers as one node, shipped in `subgraphs/`.

The search of pages before 1.58 reads names only, so the names say what animators look for, each what its node does.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from comfy_harness import folded
from comfy_harness.examples.example import Example
from comfy_harness.examples.keyframes import quick_start
from comfy_harness.examples.parts import video
from comfy_harness.prompts import changed


@dataclass(frozen=True)
class Blueprint:
    """One of them.

    Attributes:
        name: of its file and its node.
        description: what the page says of it.
        example: the graph, with the pictures and the saving node that stay outside.
        output: the name of what comes out.
        widgets: what is shown on the node, as `folded.WIDGETS`.
    """

    name: str
    description: str
    example: Example
    output: str = "frames"
    widgets: Mapping[str, Sequence[str]] = field(default_factory=lambda: folded.WIDGETS)


def blueprints() -> list[Blueprint]:
    return [in_betweens(), film(), colouring()]


def in_betweens() -> Blueprint:
    return Blueprint(
        folded.NAME,
        "Draws the frames between two or more keyframes of a cartoon (interpolation, in-betweens, tweens), guided by "
        "line drawings of some of them. Without sketches connected, all frames are free.",
        quick_start(),
    )


def film() -> Blueprint:
    """A video of the in-betweens; `fps` on the node is the video's."""
    plain = quick_start()
    images = plain.prompt["save"]["inputs"]["images"]
    shown = {**folded.WIDGETS, "ToonCrafterEncodeKeyframes": ["width", "height", "frames"], "CreateVideo": ["fps"]}
    return Blueprint(
        "Video interpolation for cartoons (ToonCrafter)",
        "Draws the frames between two or more keyframes of a cartoon and gives them as a video, for Save Video; "
        "guided by line drawings of some of them. Without sketches connected, all frames are free.",
        replace(plain, prompt={**plain.prompt, **video(images)}),
        "video",
        shown,
    )


def colouring() -> Blueprint:
    """A line drawing of every frame is wanted, however many there are."""
    plain = quick_start()
    return Blueprint(
        "Colour anime line art animation (ToonCrafter)",
        "Colours an animation that is drawn in lines, one drawing for every frame, in the colours of its first and "
        "last frame. With one coloured frame only, use it for both.",
        replace(plain, prompt=changed(plain.prompt, "guide", frame_indices="every:1")),
    )
