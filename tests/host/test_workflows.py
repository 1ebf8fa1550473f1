"""Every shipped workflow opens in ComfyUI's page without missing nodes, and what the page makes of it runs."""

from __future__ import annotations

import json
from itertools import combinations
from pathlib import Path
from typing import Any

import av
import pytest
from comfy_harness.browser import load_workflow, missing_nodes, to_api_prompt
from comfy_harness.examples import examples
from comfy_harness.prompts import BUNDLED_MODEL, Prompt, settings_of
from comfy_harness.server import ROOT, ComfyServer
from comfy_harness.stand_ins import with_stand_ins
from kijai_graph import kijai_graph
from kijai_graphs.convert import convert
from kijai_graphs.graph import Graph
from kijai_graphs.kinds import ALL
from PIL import Image
from playwright.sync_api import Page

WORKFLOWS = sorted((ROOT / "workflows").glob("*.json"))
EXAMPLES = {example.name: example for example in examples()}
FRAMES = {
    "one_node": 31,
    "many_keyframes": 31,
    "loop": 30,
    "folder_of_keyframes": 31,
    "retimed_shot": 24,
    "seed_grid": 1,
}
SMALL = 72, 64
SIZE = {"upscale_chain": (144, 128), "seed_grid": (360, 312)}
"""Of the results, where they are not 16 frames of the small size."""
TITLE, PICTURE, READABLE = 30, 318, 0.6
"""Of a node on the page: the height of its title bar, the least height of one that shows a picture it loads, and the
scale below which the page leaves out letters."""
DOWNLOADING = [file for file in WORKFLOWS if EXAMPLES[file.stem].files and file.stem != "smaller_files"]
"""Those that need a file, but for the one that shows files without towers."""
SET = {"width": 128, "height": 64, "steps": 2, "guidance_scale": 1, "cfg": 1, "clean_end": True}
FASTER = {"width": SMALL[0], "height": SMALL[1], "steps": 1}
"""What then takes their place, so that a run takes less."""
CHOOSE_SMALL = """small => {
    const find = type => app.graph.nodes.filter(node => node.type === type);
    const [loader] = find('ToonCrafterLoader');
    const menu = loader.widgets.find(widget => widget.name === 'checkpoint');
    menu.setValue(small, {e: new PointerEvent('click'), node: loader, canvas: app.canvas});
    for (const node of [...find('ControlNetApplyAdvanced'), ...find('ImageUpscaleWithModel')]) node.mode = 4;
    for (const node of find('ImageScale'))
        for (const [name, value] of [['width', 128], ['height', 64]])
            node.widgets.find(widget => widget.name === name).value = value;
}"""
CUT = """() => {
    const {ctx} = app.canvas;
    ctx.save();
    ctx.font = `12px ${LiteGraph.NODE_FONT}`;
    const width = text => ctx.measureText(text).width;
    const cut = app.graph.nodes.flatMap(node => (node.widgets ?? [])
        .filter(({type, name, value}) => type === 'combo' && width(name) + width(value) + 90 > node.size[0])
        .map(({name, value}) => `${name} ${value}`));
    ctx.restore();
    return cut;
}"""
"""Menus with less room than their name, their choice and the arrows take: the page puts dots for the name."""


def _load(page: Page, file: Path) -> None:
    load_workflow(page, json.loads(file.read_text()))


def _frames_and_size(file: Path) -> tuple[int, tuple[int, int]]:
    if file.suffix == ".mp4":
        with av.open(file) as video:
            pictures = [frame.to_image() for frame in video.decode(video=0)]
        return len(pictures), pictures[0].size
    with Image.open(file) as animation:
        return animation.n_frames, animation.size


def test_there_are_workflows() -> None:
    assert len(WORKFLOWS) >= 10
    assert EXAMPLES.keys() == {file.stem for file in WORKFLOWS}


@pytest.mark.parametrize("file", WORKFLOWS, ids=lambda file: file.stem)
def test_workflow_opens_as_it_was_made(page: Page, file: Path) -> None:
    """Without missing nodes, and with the settings of `comfy_harness/examples`."""
    _load(page, file)
    assert missing_nodes(page) == []
    made, sent = _by_kind(EXAMPLES[file.stem].prompt), _by_kind(_in_order(to_api_prompt(page)))
    assert [found["class_type"] for found in sent] == [expected["class_type"] for expected in made]
    for expected, found in zip(made, sent, strict=True):
        settings = settings_of(expected)
        assert {name: found["inputs"][name] for name in settings} == settings


@pytest.mark.both_pages
@pytest.mark.parametrize("file", WORKFLOWS, ids=lambda file: file.stem)
def test_menus_show_name_and_choice(page: Page, file: Path) -> None:
    """The small model's names too."""
    _load(page, file)
    assert page.evaluate(CUT) == []
    if file in DOWNLOADING:
        page.evaluate(CHOOSE_SMALL, BUNDLED_MODEL)
        assert page.evaluate(CUT) == []


def _by_kind(prompt: Prompt) -> list[dict[str, Any]]:
    """Nodes in the order of their types, those of one type in the order of the graph."""
    return sorted(prompt.values(), key=lambda made: made["class_type"])


def _in_order(sent: Prompt) -> Prompt:
    """Nodes in the order of their numbers, which are `5:3` inside node 5."""
    return {number: sent[number] for number in sorted(sent, key=lambda number: [*map(int, number.split(":"))])}


@pytest.mark.parametrize("file", WORKFLOWS, ids=lambda file: file.stem)
def test_workflow_runs_as_the_page_sends_it(page: Page, comfy_server: ComfyServer, file: Path) -> None:
    """With the bundled model in place of the published files, at a size at which nothing is to be seen."""
    _load(page, file)
    history = comfy_server.run(with_stand_ins(to_api_prompt(page), steps=1, size=SMALL))
    expected = FRAMES.get(file.stem, 16), SIZE.get(file.stem, SMALL)
    assert expected in [_frames_and_size(saved) for saved in comfy_server.outputs(history)]


@pytest.mark.parametrize("file", DOWNLOADING, ids=lambda file: file.stem)
def test_one_switch_chooses_the_small_model(page: Page, comfy_server: ComfyServer, file: Path) -> None:
    """And what the note says is left to do by hand; then it draws."""
    _load(page, file)
    page.evaluate(CHOOSE_SMALL, BUNDLED_MODEL)
    sent = to_api_prompt(page)
    for made in sent.values():
        assert made["inputs"].items() >= {key: SET[key] for key in SET.keys() & made["inputs"].keys()}.items()
        made["inputs"] |= {key: FASTER[key] for key in FASTER.keys() & made["inputs"].keys()}
    assert comfy_server.outputs(comfy_server.run(sent))


@pytest.mark.parametrize("file", WORKFLOWS, ids=lambda file: file.stem)
def test_workflow_says_what_it_does(file: Path) -> None:
    notes = [node for node in json.loads(file.read_text())["nodes"] if node["type"] in ("Note", "MarkdownNote")]
    assert [note["widgets_values"][0] for note in notes] == [EXAMPLES[file.stem].note]


@pytest.mark.parametrize("file", WORKFLOWS, ids=lambda file: file.stem)
def test_workflow_is_in_view_when_it_opens(file: Path) -> None:
    """In a window of 1600 x 1000, between the page's bars, in letters that the page still draws; no node on another,
    nor out of its group (with Vue nodes: `test_groups_page.py`)."""
    saved = json.loads(file.read_text())
    view = saved["extra"]["ds"]
    nodes = [(*node["pos"], *node["size"]) for node in saved["nodes"]]
    boxes = [(x, y - TITLE, width, height + TITLE) for x, y, width, height in nodes]
    for x, y, width, height in [*boxes, *(group["bounding"] for group in saved["groups"])]:
        left, top = ((place + offset) * view["scale"] for place, offset in zip((x, y), view["offset"], strict=True))
        assert left >= 60 and top >= 90
        assert left + width * view["scale"] <= 1600 and top + height * view["scale"] <= 1000
    assert view["scale"] > READABLE
    for (x, y, width, height), (left, top, wide, high) in combinations(boxes, 2):
        assert x + width <= left or left + wide <= x or y + height <= top or top + high <= y
    groups = [group["bounding"] for group in saved["groups"]]
    for node, (x, y, width, height) in zip(saved["nodes"], boxes, strict=True):
        inside = [
            left <= x and top <= y and x + width <= left + wide and y + height <= top + high
            for left, top, wide, high in groups
        ]
        assert any(inside) or node["type"] == "MarkdownNote"
    assert all(node["size"][1] >= PICTURE for node in saved["nodes"] if node["type"].startswith("LoadImage"))


@pytest.mark.parametrize("file", WORKFLOWS, ids=lambda file: file.stem)
def test_workflow_has_a_thumbnail(file: Path) -> None:
    with Image.open(file.with_suffix(".jpg")) as thumbnail:
        assert thumbnail.format == "JPEG" and min(thumbnail.size) >= 256


def test_converted_graph_runs_as_the_page_sends_it(page: Page, comfy_server: ComfyServer) -> None:
    """What was a graph of Kijai's nodes opens without missing nodes and draws, at the size of its pictures."""
    graph = Graph.read(kijai_graph())
    convert(graph)
    load_workflow(page, graph.saved())
    assert missing_nodes(page) == []
    sent = to_api_prompt(page)
    (sampler,) = (made["inputs"] for made in sent.values() if made["class_type"] == "ToonCrafterSampler")
    assert (sampler["seed"], sampler["steps"], sampler["guidance_scale"]) == (3, 20, 7)
    history = comfy_server.run(with_stand_ins(sent, steps=2))
    saved = comfy_server.outputs(history)
    assert len(saved) == 16 and _frames_and_size(saved[0]) == (1, (128, 64))


def test_converter_knows_the_nodes_as_they_are(comfy_server: ComfyServer) -> None:
    known = comfy_server.object_info()
    for kind in ALL:
        info = known[kind.type]
        inputs = {**info["input"]["required"], **info["input"].get("optional", {})}
        found = {name: "COMBO" if isinstance(given[0], list) else given[0] for name, given in inputs.items()}
        assert {**kind.sockets, **kind.widgets} == found, kind.type
        assert list(kind.outputs.values()) == info["output"], kind.type
