"""Draws docs/sketches/timeline.png: Sketch Guide with its timeline, as ComfyUI's page shows it. It needs Chromium.

python scripts/draw/timeline_page.py
"""

from __future__ import annotations

import argparse
import logging
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # so that the script runs from anywhere
sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from comfy_harness.browser import open_page
from comfy_harness.prompts import BUNDLED_MODEL, BUNDLED_SKETCH_ENCODER, Prompt, interpolation, node, with_sketches
from comfy_harness.server import ROOT, ComfyServer
from playwright.sync_api import Page

SHOW = """async prompt => {
    await app.loadApiJson(prompt, 'timeline');
    for (const node of app.graph.nodes) node.pos = [-5000, -5000];
    const guide = app.graph.nodes.find(node => node.type === 'ToonCrafterSketchGuide');
    guide.pos = [0, 0];
    guide.setSize([620, guide.computeSize()[1]]);
    app.canvas.ds.scale = 1.4;
    app.canvas.centerOnNode(guide);
    app.canvas.draw(true, true);
    return guide.widgets.find(widget => widget.name === 'timeline').element;
}"""
LOADED = """strip => {
    const images = [...strip.querySelectorAll('img')];
    return images.length === 5 && images.every(image => image.naturalWidth > 0);
}"""
BOUNDS = """() => {
    const guide = app.graph.nodes.find(node => node.type === 'ToonCrafterSketchGuide');
    const [x, y, width, height] = guide.boundingRect;
    const {scale, offset} = app.canvas.ds;
    const {left, top} = app.canvas.canvas.getBoundingClientRect();
    return {
        x: left + (x + offset[0]) * scale, y: top + (y + offset[1]) * scale,
        width: width * scale, height: height * scale,
    };
}"""


def main() -> None:
    argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter).parse_args()
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    with ComfyServer() as server, open_page(server.url) as page:
        draw(page, ROOT / "docs" / "sketches" / "timeline.png")


def draw(page: Page, path: Path) -> None:
    """A picture of the node alone."""
    strip = page.evaluate_handle(SHOW, _there_and_back())
    page.wait_for_function(LOADED, arg=strip)
    page.wait_for_timeout(500)  # until the page has moved what lies over its canvas
    page.screenshot(path=path, clip=page.evaluate(BOUNDS))


def _there_and_back() -> Prompt:
    """The ball hops to the right and back: three keyframes, and a sketch in the middle of both segments."""
    first, last, middle = (f"tooncrafter_{name}.png" for name in ("first", "last", "sketch_07"))
    guided = with_sketches(interpolation([first, last], BUNDLED_MODEL), [middle], "7, 22", BUNDLED_SKETCH_ENCODER)
    return {
        **{name: made for name, made in guided.items() if not name.startswith("keyframes_")},
        "keyframes": node("ToonCrafterLoadPictures", pictures="\n".join([first, last, first]), background="#ffffff"),
        "sketches": node("ToonCrafterLoadPictures", pictures="\n".join([middle, middle]), background="#ffffff"),
    }


if __name__ == "__main__":
    main()
