"""Makes `subgraphs/In-between keyframes (ToonCrafter).json`: the quick start as one node of ComfyUI's node search.

    .venv/bin/python scripts/make_subgraph.py

ComfyUI's page makes the file, as if a user had published a subgraph: keyframes and sketches come in, frames go out, and
the widgets that are changed most often are on the node itself.
"""

from __future__ import annotations

import json
import logging
import sys
import uuid
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # so that the script runs from anywhere

from comfy_harness.browser import open_page
from comfy_harness.examples import examples
from comfy_harness.saved_graphs import as_workflow
from comfy_harness.server import ROOT, ComfyServer
from playwright.sync_api import Page

NAME = "In-between keyframes (ToonCrafter)"
BLUEPRINT = ROOT / "subgraphs" / f"{NAME}.json"
DESCRIPTION = (
    "Draws the frames between two or more keyframes of a cartoon (interpolation, in-betweens, tweens), guided by line "
    "drawings of some of them. Without sketches connected, all frames are free."
)
OUTSIDE = ("LoadImage", "ImageBatch", "SaveAnimatedWEBP", "MarkdownNote")
"""Nodes of the quick start that stay out: pictures come from the user's graph and go on there."""

WIDGETS = {
    "ToonCrafterLoader": ["checkpoint"],
    "ToonCrafterSketchEncoderLoader": ["sketch_encoder"],
    "Prompt": ["text"],
    "ToonCrafterEncodeKeyframes": ["width", "height", "frames", "fps"],
    "ToonCrafterSketchGuide": ["frame_indices", "strength"],
    "ToonCrafterSampler": ["seed", "steps", "guidance_scale"],
}
"""Widgets shown on the node, from top to bottom, by the title or else the type of the node inside."""

WIDTH = 360
"""Of the node, wide enough for the names of its files."""

CONVERT = """([name, description, outside, widgets, width]) => {
    const inner = app.graph.nodes.filter(node => !outside.includes(node.type));
    const {subgraph, node} = app.graph.convertToSubgraph(new Set(inner));
    for (const other of [...app.graph.nodes]) if (other !== node) app.graph.remove(other);
    for (const group of [...app.graph.groups]) app.graph.remove(group);
    subgraph.name = node.title = name;
    const [frames] = subgraph.outputs;
    subgraph.renameOutput(frames, 'frames');
    const find = name => subgraph.nodes.find(inside => inside.title === name || inside.type === name);
    node.properties.proxyWidgets = Object.entries(widgets).flatMap(
        ([name, shown]) => shown.map(widget => [String(find(name).id), widget])
    );
    node.pos = [0, 0];
    node.setSize([width, node.computeSize()[1]]);
    app.graph.extra = {BlueprintDescription: description};
    return JSON.stringify(app.graph.serialize({sortNodes: true}));
}"""

log = logging.getLogger("make_subgraph")


def main() -> None:
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    with ComfyServer() as server, open_page(server.url) as page:
        blueprint = _blueprint(page)
    BLUEPRINT.parent.mkdir(exist_ok=True)
    BLUEPRINT.write_text(json.dumps(blueprint, indent=1) + "\n")
    log.info("%s: %d nodes inside", NAME, len(blueprint["definitions"]["subgraphs"][0]["nodes"]))


def _blueprint(page: Page) -> dict[str, Any]:
    """A workflow of nothing but the subgraph's node, which is what the page publishes."""
    (quick_start,) = (example for example in examples() if example.name == "quick_start")
    as_workflow(page, quick_start)
    saved: str = page.evaluate(CONVERT, [NAME, DESCRIPTION, OUTSIDE, WIDGETS, WIDTH])
    (node,) = json.loads(saved)["nodes"]
    blueprint: dict[str, Any] = json.loads(saved.replace(node["type"], str(uuid.uuid5(uuid.NAMESPACE_URL, NAME))))
    return blueprint


if __name__ == "__main__":
    main()
