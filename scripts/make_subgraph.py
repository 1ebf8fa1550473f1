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
from comfy_harness.folded import NAME, fold
from comfy_harness.saved_graphs import as_workflow
from comfy_harness.server import ROOT, ComfyServer
from playwright.sync_api import Page

BLUEPRINT = ROOT / "subgraphs" / f"{NAME}.json"
DESCRIPTION = (
    "Draws the frames between two or more keyframes of a cartoon (interpolation, in-betweens, tweens), guided by line "
    "drawings of some of them. Without sketches connected, all frames are free."
)
ALONE = """([number, description]) => {
    for (const other of [...app.graph.nodes]) if (String(other.id) !== number) app.graph.remove(other);
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
    number, kind, _ = fold(page)
    saved: str = page.evaluate(ALONE, [number, DESCRIPTION])
    blueprint: dict[str, Any] = json.loads(saved.replace(kind, str(uuid.uuid5(uuid.NAMESPACE_URL, NAME))))
    return blueprint


if __name__ == "__main__":
    main()
