"""Every shipped workflow opens in ComfyUI's page without missing nodes, and what the page makes of it runs."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from browser import find_chromium, load_workflow, missing_nodes, open_page, to_api_prompt
from comfy_server import ROOT, ComfyServer
from PIL import Image
from playwright.sync_api import Page

WORKFLOWS = sorted((ROOT / "workflows").glob("*.json"))
SMALL = {"width": 128, "height": 80, "steps": 2}


@pytest.fixture(scope="module")
def page(comfy_server: ComfyServer) -> Iterator[Page]:
    if find_chromium() is None:
        pytest.skip("no Chromium is installed")
    with open_page(comfy_server.url) as opened:
        yield opened


def _load(page: Page, file: Path) -> None:
    load_workflow(page, json.loads(file.read_text()))


def _made_small(prompt: dict[str, Any]) -> dict[str, Any]:
    for node in prompt.values():
        node["inputs"].update({name: value for name, value in SMALL.items() if name in node["inputs"]})
    return prompt


def test_there_are_workflows() -> None:
    assert WORKFLOWS


@pytest.mark.parametrize("file", WORKFLOWS, ids=lambda file: file.stem)
def test_workflow_opens_without_missing_nodes(page: Page, file: Path) -> None:
    _load(page, file)
    assert missing_nodes(page) == []
    assert len(page.evaluate("() => app.graph.nodes.map(node => node.type)")) == len(
        json.loads(file.read_text())["nodes"]
    )


@pytest.mark.parametrize("file", WORKFLOWS, ids=lambda file: file.stem)
def test_workflow_runs(page: Page, comfy_server: ComfyServer, drawn: dict[str, str], file: Path) -> None:
    _load(page, file)
    history = comfy_server.run(_made_small(to_api_prompt(page)))
    (result,) = (path for path in comfy_server.outputs(history) if path.suffix == ".webp")
    with Image.open(result) as animation:
        assert (animation.n_frames, animation.size) == (16, (SMALL["width"], SMALL["height"]))


@pytest.mark.parametrize("file", WORKFLOWS, ids=lambda file: file.stem)
def test_workflow_says_what_it_does(file: Path) -> None:
    notes = [node for node in json.loads(file.read_text())["nodes"] if node["type"] in ("Note", "MarkdownNote")]
    assert any("Files:" in note["widgets_values"][0] for note in notes)
