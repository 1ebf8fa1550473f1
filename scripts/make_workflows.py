"""Makes `workflows/`: each graph of `example_graphs.py` in the page's own format, and a thumbnail of what it draws.

    .venv/bin/python scripts/make_workflows.py [NAME ...]     # without names: all

ComfyUI's page makes the files, so that they are what a user would have saved. The thumbnails show real runs with the
bundled model in place of the published files, at its own size.
"""

from __future__ import annotations

import json
import logging
import sys
import tempfile
import uuid
from collections.abc import Mapping
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # so that the script runs from anywhere

import av
from comfy_harness.browser import open_page, to_api_prompt
from comfy_harness.example_graphs import Example, examples
from comfy_harness.prompts import Prompt
from comfy_harness.server import ROOT, ComfyServer
from comfy_harness.stand_ins import with_stand_ins, write_stand_ins
from PIL import Image, ImageSequence
from playwright.sync_api import Page

WORKFLOWS = ROOT / "workflows"
KEYFRAMES = ROOT / "assets" / "keyframes"
GAP = 60, 80
"""Pixels between nodes beside and above each other."""

LOADED_PICTURE, RESULT = (270, 314), (420, 420)
NOTE = (560, 320)
"""Sizes of nodes that grow with what they show."""

THUMBNAIL = 2, 3, 256
"""Columns, rows, and pixels across one frame."""

STEPS = 20

LOAD = """async ([prompt, name, sizes, note]) => {
    await app.loadApiJson(prompt, name);
    for (const node of app.graph.nodes) {
        const [width, height] = node.computeSize();
        const [wide, high] = sizes[node.type] ?? [0, 0];
        node.setSize([Math.max(width, wide, 240), Math.max(height, high)]);
    }
    const noted = LiteGraph.createNode('MarkdownNote');
    app.graph.add(noted);
    noted.title = 'Read me';
    noted.widgets[0].value = note;
    noted.setSize(sizes.MarkdownNote);
    return Object.fromEntries(app.graph.nodes.map(node => [node.id, [...node.size]]));
}"""
SAVE = """positions => {
    for (const node of app.graph.nodes) node.pos = positions[node.id];
    app.graph.setDirtyCanvas(true, true);
    return JSON.stringify(app.graph.serialize({sortNodes: true}));
}"""

log = logging.getLogger("make_workflows")


def main() -> None:
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    chosen = _chosen(sys.argv[1:])
    with (
        tempfile.TemporaryDirectory() as folder,
        ComfyServer(models=write_stand_ins(Path(folder))) as server,
        open_page(server.url) as page,
    ):
        for picture in KEYFRAMES.iterdir():
            server.upload(picture)
        for example in chosen:
            workflow = _workflow(page, example)
            history = server.run(with_stand_ins(to_api_prompt(page), STEPS), timeout=3600)
            frames = _frames(server.outputs(history)[-1])
            _thumbnail(frames).save(WORKFLOWS / f"{example.name}.jpg", quality=90)
            (WORKFLOWS / f"{example.name}.json").write_text(json.dumps(workflow, indent=1) + "\n")
            log.info("%s: %d frames of %s x %s", example.name, len(frames), *frames[0].size)


def _chosen(names: list[str]) -> list[Example]:
    """The examples with these names, or all."""
    known = {example.name: example for example in examples()}
    unknown = [name for name in names if name not in known]
    if unknown:
        raise SystemExit(f"no workflow is called {unknown[0]}; there are: {', '.join(known)}")
    return [known[name] for name in names or known]


def _workflow(page: Page, example: Example) -> dict[str, Any]:
    """The graph as the page saves it."""
    sizes = {"LoadImage": LOADED_PICTURE, "SaveAnimatedWEBP": RESULT, "SaveVideo": RESULT, "MarkdownNote": NOTE}
    prompt = _numbered(example.prompt, example.titles)
    found = page.evaluate(LOAD, [prompt, example.name, sizes, example.note])
    saved = json.loads(page.evaluate(SAVE, _positions(prompt, found)))
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


def _positions(prompt: Prompt, sizes: Mapping[str, list[float]]) -> dict[str, list[float]]:
    """Columns from left to right, each node just before the first that needs it; the note below."""
    columns: dict[int, list[str]] = {}
    for name in prompt:
        columns.setdefault(_steps_to_end(prompt, name), []).append(name)
    positions: dict[str, list[float]] = {}
    x = 0.0
    for _, names in sorted(columns.items(), reverse=True):
        y = 0.0
        for name in names:
            positions[name] = [x, y]
            y += sizes[name][1] + GAP[1]
        x += max(sizes[name][0] for name in names) + GAP[0]
    (note,) = sizes.keys() - prompt.keys()
    positions[note] = [0.0, max(positions[name][1] + sizes[name][1] for name in prompt) + GAP[1]]
    return positions


def _steps_to_end(prompt: Prompt, name: str) -> int:
    """Nodes on the longest way from this one to one that nothing follows."""
    users = [other for other, made in prompt.items() if name in _sources(made)]
    return 1 + max((_steps_to_end(prompt, user) for user in users), default=0)


def _sources(made: Mapping[str, Any]) -> set[str]:
    return {value[0] for value in made["inputs"].values() if isinstance(value, list)}


def _frames(path: Path) -> list[Image.Image]:
    """The frames of an animation or a video."""
    if path.suffix == ".webp":
        with Image.open(path) as animation:
            return [frame.convert("RGB") for frame in ImageSequence.Iterator(animation)]
    with av.open(path) as video:
        return [frame.to_image() for frame in video.decode(video=0)]


def _thumbnail(frames: list[Image.Image]) -> Image.Image:
    """Evenly spread frames, the first and the last among them, row by row."""
    columns, rows, width = THUMBNAIL
    count = columns * rows
    height = width * frames[0].height // frames[0].width
    sheet = Image.new("RGB", (columns * width, rows * height))
    for place in range(count):
        frame = frames[round(place * (len(frames) - 1) / (count - 1))]
        at = place % columns * width, place // columns * height
        sheet.paste(frame.resize((width, height), Image.Resampling.LANCZOS), at)
    return sheet


if __name__ == "__main__":
    main()
