"""A graph on ComfyUI's page with everything between its pictures and its result folded into one node."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from playwright.sync_api import Page

NAME = "In-between keyframes (ToonCrafter)"
"""Of the node."""

OUTSIDE = ("LoadImage", "ImageBatch", "ToonCrafterLoadPictures", "SaveAnimatedWEBP", "SaveVideo", "MarkdownNote")
"""Nodes that stay out: pictures come from the user's graph and go on there."""

WIDGETS = {
    "ToonCrafterLoader": ["checkpoint"],
    "ToonCrafterSketchEncoderLoader": ["sketch_encoder"],
    "Prompt": ["text"],
    "ToonCrafterEncodeKeyframes": ["width", "height", "frames", "fps"],
    "ToonCrafterSketchGuide": ["frame_indices", "strength"],
    "ToonCrafterSampler": ["seed", "steps", "guidance_scale"],
}
"""Widgets shown on the node, from top to bottom, by the title or else the type of the node inside."""

WIDTH = 430
"""Of the node, wide enough for the names of its files."""

_FOLD = """([name, output, outside, widgets, width]) => {
    const inner = app.graph.nodes.filter(node => !outside.includes(node.type));
    const {subgraph, node} = app.graph.convertToSubgraph(new Set(inner));
    for (const group of [...app.graph.groups]) app.graph.remove(group);
    subgraph.name = node.title = name;
    subgraph.renameOutput(subgraph.outputs[0], output);
    const find = name => subgraph.nodes.find(inside => inside.title === name || inside.type === name);
    node.properties.proxyWidgets = Object.entries(widgets).flatMap(
        ([name, shown]) => shown.map(widget => [String(find(name).id), widget])
    );
    node.pos = [0, 0];
    node.setSize([width, node.computeSize()[1]]);
    return [String(node.id), node.type, [...node.size]];
}"""


def fold(
    page: Page, name: str = NAME, output: str = "frames", widgets: Mapping[str, Sequence[str]] = WIDGETS
) -> tuple[str, str, tuple[float, float]]:
    """Fold the graph on the page; the new node's number, its type and its size.

    `name` is the node's title, `output` the name of its only output, `widgets` what is shown on it, as `WIDGETS`.
    """
    shown = {kind: list(names) for kind, names in widgets.items()}
    number, kind, (width, height) = page.evaluate(_FOLD, [name, output, OUTSIDE, shown, WIDTH])
    return number, kind, (width, height)


def folded(prompt: dict[str, Any], number: str) -> dict[str, Any]:
    """What is left of a graph in API form, the new node in place of all that is in it."""
    left = {name: made for name, made in prompt.items() if made["class_type"] in OUTSIDE}
    wires = {
        key: value
        for name, made in prompt.items()
        if name not in left
        for key, value in made["inputs"].items()
        if isinstance(value, list) and value[0] in left
    }
    return {**left, number: {"class_type": NAME, "inputs": wires}}
