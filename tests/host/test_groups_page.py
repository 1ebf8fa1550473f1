"""Where nodes of the templates stand with Vue nodes, which are higher than classic ones: in their groups, apart."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from comfy_harness.browser import load_workflow
from comfy_harness.server import ROOT
from playwright.sync_api import Page

pytestmark = pytest.mark.newest_page

WORKFLOWS = sorted((ROOT / "workflows").glob("*.json"))
VUE_NODES = "on => app.extensionManager.setting.set('Comfy.VueNodes.Enabled', on)"
DRAWN = "document.querySelectorAll('[data-node-id]').length >= app.graph.nodes.length"
MISPLACED = """() => {
    const {left, top} = app.canvas.canvas.getBoundingClientRect();
    const {scale, offset} = app.canvas.ds;
    const boxes = app.graph.nodes.map(node => {
        const box = document.querySelector(`[data-node-id="${node.id}"]`).getBoundingClientRect();
        const [x, y] = [(box.left - left) / scale - offset[0], (box.top - top) / scale - offset[1]];
        return {title: node.title, type: node.type, x, y, right: x + box.width / scale, below: y + box.height / scale};
    });
    const holds = ({pos: [x, y], size: [width, height]}, box) =>
        x <= box.x && y <= box.y && box.right <= x + width && box.below <= y + height;
    const apart = (one, other) =>
        one.right <= other.x || other.right <= one.x || one.below <= other.y || other.below <= one.y;
    const grouped = boxes.filter(box => box.type !== 'MarkdownNote');
    const outside = grouped.filter(box => !app.graph.groups.some(group => holds(group, box)));
    const covered = boxes.filter((box, place) => !boxes.slice(place + 1).every(other => apart(box, other)));
    return [outside.map(({title}) => title), covered.map(({title}) => title)];
}"""
"""Titles of nodes that are in no group, and of those that touch another."""


@pytest.fixture(scope="module")
def vue_page(page: Page) -> Iterator[Page]:
    page.evaluate(VUE_NODES, True)
    yield page
    page.evaluate(VUE_NODES, False)


@pytest.mark.parametrize("file", WORKFLOWS, ids=lambda file: file.stem)
def test_nodes_stand_in_their_groups(vue_page: Page, file: Path) -> None:
    load_workflow(vue_page, json.loads(file.read_text()))
    vue_page.wait_for_function(DRAWN)
    vue_page.wait_for_timeout(1000)  # until nodes are as high as what they show
    assert vue_page.evaluate(MISPLACED) == [[], []]
