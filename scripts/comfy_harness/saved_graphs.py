"""Example graphs on ComfyUI's page, with every node in its place, and as the page saves them."""

from __future__ import annotations

import json
import re
import uuid
from collections.abc import Mapping
from typing import Any

from playwright.sync_api import Page

from comfy_harness.examples.example import Example
from comfy_harness.folded import fold, folded
from comfy_harness.layout import GROUPS, Size, lay_out
from comfy_harness.prompts import Prompt

LOADED_PICTURE, RESULT, SAMPLER = (240, 318), (290, 270), (290, 590)
FILM = 200
"""Sizes of nodes that grow with what they show, and the height of what a folded node shows while it draws."""

NOTE_WIDTH, NOTE_HEIGHT = 440, (200, 14, 0.3)
"""Of a note: the width, and the height with nothing written, for each paragraph, and for each letter. Vue nodes of page
1.32.9 make it as high as its text, in their large letters."""

LOAD = """async ([prompt, name, sizes, note, models]) => {
    await app.loadApiJson(prompt, name);
    const choices = ({value, options}) => [value, ...options.values.filter(other => other.endsWith('(bundled)'))];
    const shown = menu => Math.max(...choices(menu).map(choice => 7 * (menu.name + choice).length + 90));
    const readable = ({title, widgets = []}) => Math.max(
        8 * title.length + 60, ...widgets.filter(widget => widget.type === 'combo').map(shown));
    for (const node of app.graph.nodes) {
        if (models[node.id].length) node.properties.models = models[node.id];
        const [width, height] = node.computeSize();
        const [wide, high] = sizes[node.type] ?? [0, 0];
        const least = node.type.startsWith('ToonCrafter') ? 290 : 240;
        node.setSize([Math.max(width, wide, least, readable(node)), Math.max(height, high)]);
    }
    const noted = LiteGraph.createNode('MarkdownNote');
    app.graph.add(noted);
    noted.title = 'Read me';
    noted.widgets[0].value = note;
    noted.setSize(sizes.MarkdownNote);
    return Object.fromEntries(app.graph.nodes.map(node => [node.id, [...node.size]]));
}"""
SAVE = """([nodes, groups]) => {
    for (const node of app.graph.nodes) {
        const [position, size] = nodes[node.id];
        node.pos = position;
        node.setSize(size);
    }
    for (const [title, colour, bounds] of groups) {
        const group = new LiteGraph.LGraphGroup(title);
        group.configure({title, bounding: bounds, color: colour, font_size: 24, flags: {}});
        app.graph.add(group);
    }
    app.graph.setDirtyCanvas(true, true);
    return JSON.stringify(app.graph.serialize({sortNodes: true}));
}"""


def as_workflow(page: Page, example: Example) -> dict[str, Any]:
    """The graph as the page saves it."""
    sizes = {
        "LoadImage": LOADED_PICTURE,
        "LoadImageMask": LOADED_PICTURE,
        "ToonCrafterSampler": SAMPLER,
        "SaveAnimatedWEBP": RESULT,
        "SaveImage": RESULT,
        "SaveVideo": RESULT,
        "MarkdownNote": _note_size(example.note),
    }
    prompt = numbered(example.prompt, example.titles)
    models = {number: example.models(name) for number, name in zip(prompt, example.prompt, strict=True)}
    found = page.evaluate(LOAD, [prompt, example.name, sizes, example.note, models])
    (note,) = found.keys() - prompt.keys()
    saved = _laid_out(page, prompt, found, note)
    if example.folded:
        number, kind, (width, height) = fold(page)
        left = folded(prompt, number)
        saved = _laid_out(page, left, {**found, number: (width, height + FILM)}, note)
        saved = json.loads(json.dumps(saved).replace(kind, _steady(f"{example.name}, folded")))
    return {**saved, "id": _steady(example.name)}


def _note_size(note: str) -> Size:
    """Of a node with this Markdown."""
    paragraphs = [line for line in re.sub(r"\]\(.*?\)", "]", note).splitlines() if line]
    empty, paragraph, letter = NOTE_HEIGHT
    return NOTE_WIDTH, round(empty + paragraph * len(paragraphs) + letter * sum(map(len, paragraphs)))


def _laid_out(page: Page, prompt: Prompt, sizes: Mapping[str, Size], note: str) -> dict[str, Any]:
    """Put the nodes of the graph on the page into groups; the graph as the page saves it."""
    layout = lay_out(prompt, sizes, note)
    groups = [[title, GROUPS[title][0], bounds] for title, bounds in layout.frames.items()]
    nodes = {number: [position, list(sizes[number])] for number, position in layout.positions.items()}
    saved: dict[str, Any] = json.loads(page.evaluate(SAVE, [nodes, groups]))
    saved["extra"]["ds"] = layout.view()
    return saved


def _steady(name: str) -> str:
    """An id that stays the same when the file is made again."""
    return str(uuid.uuid5(uuid.NAMESPACE_URL, name))


def numbered(prompt: Prompt, titles: Mapping[str, str]) -> Prompt:
    """The same graph with numbers for names, as the page gives them."""
    numbers = {name: str(number) for number, name in enumerate(prompt, start=1)}
    made_with = {}
    for name, made in prompt.items():
        wires = {key: [numbers[v[0]], v[1]] if isinstance(v, list) else v for key, v in made["inputs"].items()}
        title = {"_meta": {"title": titles[name]}} if name in titles else {}
        made_with[numbers[name]] = {**made, "inputs": wires, **title}
    return made_with
