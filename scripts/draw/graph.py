"""Draws assets/graph.png: the quick start on ComfyUI's page, after it was run there.

.venv/bin/python scripts/draw/graph.py
"""

from __future__ import annotations

import argparse
import json
import logging
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # so that the script runs from anywhere
sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from comfy_harness.browser import end_of_run, fit_view, load_workflow, open_page, watch_the_end
from comfy_harness.server import ROOT, ComfyServer
from playwright.sync_api import Page

GRAPH = ROOT / "assets" / "graph.png"
MARGIN = 12
"""Pixels around the graph."""
SETTLED = 1000
"""Milliseconds until the page has put a film that has just arrived into its node; before, it lies over the graph."""

BOUNDS = """() => {
    const boxes = [...app.graph.nodes, ...app.graph.groups].map(item => [...item.boundingRect ?? item._bounding]);
    const {ds, canvas} = app.canvas;
    const {left, top} = canvas.getBoundingClientRect();
    const [x, y] = ds.convertOffsetToCanvas([0, 1].map(axis => Math.min(...boxes.map(box => box[axis]))));
    const [right, bottom] = ds.convertOffsetToCanvas(
        [0, 1].map(axis => Math.max(...boxes.map(box => box[axis] + box[axis + 2])))
    );
    return [left + x, top + y, right - x, bottom - y];
}"""


def main() -> None:
    argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter).parse_args()
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    with ComfyServer() as server, open_page(server.url) as page:
        load_workflow(page, json.loads((ROOT / "workflows" / "quick_start.json").read_text()))
        fit_view(page)
        watch_the_end(page)
        page.evaluate("() => app.queuePrompt(0)")
        ended = end_of_run(page, timeout=900)
        if ended != "execution_success":
            raise SystemExit(f"the quick start ended with {ended}")
        draw(page, GRAPH)


def draw(page: Page, path: Path) -> None:
    """A picture of the graph alone."""
    fit_view(page)
    page.wait_for_timeout(SETTLED)
    x, y, width, height = page.evaluate(BOUNDS)
    clip = {"x": x - MARGIN, "y": y - MARGIN, "width": width + 2 * MARGIN, "height": height + 2 * MARGIN}
    page.screenshot(path=path, clip=clip)


if __name__ == "__main__":
    main()
