"""Makes `subgraphs/`: graphs that ComfyUI's node search offers as one node each.

    .venv/bin/python scripts/make_subgraphs.py

ComfyUI's page makes the files, as if a user had published subgraphs: keyframes and sketches come in, frames or a video
go out, and the widgets that are changed most often are on the node itself.
"""

from __future__ import annotations

import argparse
import json
import logging
import sys
import uuid
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # so that the script runs from anywhere

from comfy_harness.browser import open_page
from comfy_harness.examples.blueprints import Blueprint, blueprints
from comfy_harness.folded import fold
from comfy_harness.saved_graphs import as_workflow
from comfy_harness.server import ROOT, ComfyServer
from playwright.sync_api import Page

SUBGRAPHS = ROOT / "subgraphs"
ALONE = """([number, description]) => {
    for (const other of [...app.graph.nodes]) if (String(other.id) !== number) app.graph.remove(other);
    app.graph.extra = {BlueprintDescription: description};
    return JSON.stringify(app.graph.serialize({sortNodes: true}));
}"""

log = logging.getLogger("make_subgraphs")


def main() -> None:
    argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter).parse_args()
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    SUBGRAPHS.mkdir(exist_ok=True)
    with ComfyServer() as server, open_page(server.url) as page:
        for blueprint in blueprints():
            saved = _saved(page, blueprint)
            (SUBGRAPHS / f"{blueprint.name}.json").write_text(json.dumps(saved, indent=1) + "\n")
            log.info("%s: %d nodes inside", blueprint.name, len(saved["definitions"]["subgraphs"][0]["nodes"]))


def _saved(page: Page, blueprint: Blueprint) -> dict[str, Any]:
    """A workflow of nothing but the subgraph's node, which is what the page publishes."""
    as_workflow(page, blueprint.example)
    number, kind, _ = fold(page, blueprint.name, blueprint.output, blueprint.widgets)
    text: str = page.evaluate(ALONE, [number, blueprint.description])
    steady = str(uuid.uuid5(uuid.NAMESPACE_URL, blueprint.name))
    saved: dict[str, Any] = json.loads(text.replace(kind, steady))
    return saved


if __name__ == "__main__":
    main()
