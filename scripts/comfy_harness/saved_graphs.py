"""Example graphs on ComfyUI's page, with every node in its place, and as the page saves them."""

from __future__ import annotations

import json
import uuid
from collections.abc import Mapping
from typing import Any

from playwright.sync_api import Page

from comfy_harness.examples.example import Example
from comfy_harness.layout import GROUPS, lay_out
from comfy_harness.prompts import Prompt

LOADED_PICTURE, RESULT, SAMPLER = (240, 270), (330, 270), (290, 520)
NOTE = (340, 400)
"""Sizes of nodes that grow with what they show."""

LOAD = """async ([prompt, name, sizes, note, models]) => {
    await app.loadApiJson(prompt, name);
    for (const node of app.graph.nodes) {
        if (models[node.id].length) node.properties.models = models[node.id];
        const [width, height] = node.computeSize();
        const [wide, high] = sizes[node.type] ?? [0, 0];
        const least = node.type.startsWith('ToonCrafter') ? 290 : 240;
        node.setSize([Math.max(width, wide, least), Math.max(height, high)]);
    }
    const noted = LiteGraph.createNode('MarkdownNote');
    app.graph.add(noted);
    noted.title = 'Read me';
    noted.widgets[0].value = note;
    noted.setSize(sizes.MarkdownNote);
    return Object.fromEntries(app.graph.nodes.map(node => [node.id, [...node.size]]));
}"""
SAVE = """([positions, groups]) => {
    for (const node of app.graph.nodes) node.pos = positions[node.id];
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
        "ToonCrafterSampler": SAMPLER,
        "SaveAnimatedWEBP": RESULT,
        "SaveVideo": RESULT,
        "MarkdownNote": NOTE,
    }
    prompt = _numbered(example.prompt, example.titles)
    models = {number: example.models(name) for number, name in zip(prompt, example.prompt, strict=True)}
    found = page.evaluate(LOAD, [prompt, example.name, sizes, example.note, models])
    (note,) = found.keys() - prompt.keys()
    layout = lay_out(prompt, found, note)
    groups = [[title, GROUPS[title][0], bounds] for title, bounds in layout.frames.items()]
    saved = json.loads(page.evaluate(SAVE, [layout.positions, groups]))
    return {**saved, "id": str(uuid.uuid5(uuid.NAMESPACE_URL, example.name))}


def _numbered(prompt: Prompt, titles: Mapping[str, str]) -> Prompt:
    """The same graph with numbers for names, as the page gives them."""
    numbers = {name: str(number) for number, name in enumerate(prompt, start=1)}
    numbered = {}
    for name, made in prompt.items():
        wires = {key: [numbers[v[0]], v[1]] if isinstance(v, list) else v for key, v in made["inputs"].items()}
        title = {"_meta": {"title": titles[name]}} if name in titles else {}
        numbered[numbers[name]] = {**made, "inputs": wires, **title}
    return numbered
