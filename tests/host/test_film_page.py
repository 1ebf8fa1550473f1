"""What an animator sets on ComfyUI's page for one film: which frames sketches are for and how they guide, a segment
that is drawn again, and which of several seeds goes on."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from comfy_harness.browser import end_of_run, open_templates, screenshot, to_api_prompt, watch_the_end
from comfy_harness.prompts import BUNDLED_MODEL, BUNDLED_SKETCH_ENCODER, Prompt, interpolation, node
from comfy_harness.saved_graphs import numbered
from comfy_harness.server import PACK_NAME, ComfyServer
from PIL import Image, ImageSequence
from playwright.sync_api import Page
from torch import Tensor

from tooncrafter_core.files.images import to_tensor
from tooncrafter_core.files.media import read_image

SIZE = 64, 64
FRAMES, SEGMENT = 16, 5
ENCODE = {"width": SIZE[0], "height": SIZE[1], "fps": 24}
SAMPLE = {"steps": 2, "guidance_scale": 1.0}
INDICES = {
    "5": [5],
    "3, 8, 12": [3, 8, 12],
    "4-6": [4, 5, 6],
    "-1": [15],
    "50%": [7],
    "bisect:2": [3, 7, 11],
    "every:1": list(range(FRAMES)),
}
"""Texts for `frame_indices`, and the frames they are."""
TYPED = {"frame_indices": "bisect:2", "strengths": "0, 2, 0"}
NUMBERS = {"strength": 1.2, "start_percent": 0.1, "end_percent": 0.6}
"""Of a Sketch Guide: only the second of three drawings guides, at frame 7, and not at the end. Vue nodes of page
1.32.9 take no decimal point from the keys, for KSampler neither."""
SET = """([name, values]) => app.graph.nodes.find(node => node.title === name).widgets
    .filter(widget => widget.name in values).forEach(widget => widget.value = values[widget.name])"""
VUE_NODES = "on => app.extensionManager.setting.set('Comfy.VueNodes.Enabled', on)"
SHOW = """name => {
    const node = app.graph.nodes.find(node => node.title === name);
    app.canvas.ds.scale = 1;
    app.canvas.centerOnNode(node);
    return `${node.id}`;
}"""
OUTPUTS = """name => app.nodeOutputs[app.graph.nodes.find(node => node.title === name).id].images
    .map(({type, subfolder, filename}) => `${type}/${subfolder}/${filename}`)"""
KEEP_SEED = """() => {
    const sampler = app.graph.nodes.find(node => node.title === 'sampler');
    sampler.widgets.find(widget => widget.name === 'control_after_generate').value = 'fixed';
    app.canvas.selectItems([sampler]);
}"""
AGAIN = """() => {
    const [first, decode] = ['sampler', 'decode'].map(name => app.graph.nodes.find(node => node.title === name));
    const again = app.graph.nodes.find(node => node.type === first.type && node !== first);
    const slot = (node, name) => node.inputs.findIndex(input => input.name === name);
    first.connect(0, again, slot(again, 'previous'));
    again.connect(0, decode, slot(decode, 'latent'));
    const set = (name, value) => again.widgets.find(widget => widget.name === name).value = value;
    set('segments', '2');
    set('seed', 5);
    app.api.addEventListener('execution_cached', ({detail}) => window.kept = detail.nodes.includes(`${first.id}`));
}"""

SMALL_SEED_GRID = {
    "ToonCrafter Loader": {"checkpoint": BUNDLED_MODEL},
    "ToonCrafter Encode Keyframes": {**ENCODE, "frames": str(SEGMENT)},
    "ToonCrafter Sampler": SAMPLE,
    "ToonCrafter Seeds": {"seeds": "3, 5"},
    "ToonCrafter Pick Seed": {"seed": 3},
    "SaveAnimatedWEBP": {"lossless": True},
}
PICK_ANOTHER = """() => {
    const [sampler, picking] = ['Sampler', 'PickSeed'].map(
        kind => app.graph.nodes.find(node => node.type === `ToonCrafter${kind}`));
    picking.widgets.find(widget => widget.name === 'seed').value = 5;
    app.api.addEventListener('execution_cached', ({detail}) => window.kept = detail.nodes.includes(`${sampler.id}`));
}"""


def load(page: Page, prompt: Prompt) -> None:
    """Every node called as in the prompt."""
    page.evaluate("prompt => app.loadApiJson(prompt, 'film')", numbered(prompt, {name: name for name in prompt}))


def run(page: Page) -> None:
    watch_the_end(page)
    page.get_by_test_id("queue-button").first.click()
    assert end_of_run(page) == "execution_success"


def shown(page: Page, server: ComfyServer, name: str) -> Tensor:
    """The pictures that the page has of a node: (n, 3, H, W)."""
    return torch.stack([read_image(server.base / path) for path in page.evaluate(OUTPUTS, name)])


@pytest.fixture
def vue_nodes(page: Page) -> Iterator[None]:
    page.evaluate(VUE_NODES, True)
    yield
    page.evaluate(VUE_NODES, False)


@pytest.fixture(scope="module")
def drawings(comfy_server: ComfyServer) -> str:
    """A folder of sixteen drawings on light paper: a bar, in each farther right than in the one before."""
    folder = comfy_server.base / "input" / "sixteen"
    folder.mkdir()
    for number in range(FRAMES):
        drawing = Image.new("L", SIZE, 255)
        drawing.paste(0, (4 * number, 0, 4 * number + 2, SIZE[1]))
        drawing.save(folder / f"{number + 1}.png")
    return folder.name


def guide(drawings: str, text: str, polarity: str = "auto") -> Prompt:
    """A Sketch Guide for the frames of a text, and a preview of what the encoder sees."""
    count = len(INDICES[text])
    names = drawings if count == FRAMES else "\n".join(f"{drawings}/{number}.png" for number in range(1, count + 1))
    guiding = node(
        "ToonCrafterSketchGuide",
        positive=["encode", 0],
        negative=["encode", 1],
        control_net=["sketch encoder", 0],
        sketches=[f"{text} {polarity}: drawings", 0],
        frame_indices=text,
        strength=1.0,
        strengths="",
        polarity=polarity,
        start_percent=0.0,
        end_percent=1.0,
    )
    return {
        f"{text} {polarity}: drawings": node("ToonCrafterLoadPictures", pictures=names, background="#ffffff"),
        f"{text} {polarity}": guiding,
        f"{text} {polarity}: hints": node("PreviewImage", images=[f"{text} {polarity}", 2]),
    }


def film(positive: str) -> Prompt:
    """A Sampler with the conditioning of a node, and what stock VAE Decode shows of its frames."""
    wires = {"model": ["loader", 0], "positive": [positive, 0], "negative": ["encode", 1], "latent": ["encode", 2]}
    return {
        f"{positive}: sampler": node("ToonCrafterSampler", **wires, seed=0, **SAMPLE),
        f"{positive}: decode": node("VAEDecode", vae=["loader", 3], samples=[f"{positive}: sampler", 0]),
        f"{positive}: film": node("PreviewImage", images=[f"{positive}: decode", 0]),
    }


@pytest.mark.usefixtures("vue_nodes")
def test_drawings_guide_the_frames_that_are_written(
    page: Page, comfy_server: ComfyServer, drawings: str, pictures: Path
) -> None:
    """Fields of one Sketch Guide are filled by keys."""
    prompt = interpolation(["tooncrafter_first.png", "tooncrafter_last.png"], BUNDLED_MODEL, encode=ENCODE)
    prompt = {name: made for name, made in prompt.items() if name not in ("sampler", "decode", "save")}
    prompt["sketch encoder"] = node("ToonCrafterSketchEncoderLoader", sketch_encoder=BUNDLED_SKETCH_ENCODER)
    for text in INDICES:
        prompt |= guide(drawings, text)
    prompt |= guide(drawings, "5", "light on dark") | film("encode") | film("3, 8, 12 auto")
    load(page, prompt)
    number = page.evaluate(SHOW, "3, 8, 12 auto")
    for field, text in TYPED.items():
        written = page.locator(f"[data-node-id='{number}']").get_by_label(field, exact=True)
        written.fill(text)
        written.press("Tab")
    page.evaluate(SET, ["3, 8, 12 auto", NUMBERS])
    assert to_api_prompt(page)[number]["inputs"].items() >= {**TYPED, **NUMBERS}.items()
    run(page)
    screenshot(page, pictures / "sketch_guides.png")

    for text, frames in {**INDICES, "3, 8, 12": [3, 7, 11]}.items():
        hints = shown(page, comfy_server, f"{text} auto: hints")
        assert [frame for frame in range(FRAMES) if hints[frame].any()] == frames, text
    bars = hints[:, 0].amax(dim=1).float().argmax(dim=1)
    assert (bars.diff() > 0).all(), "drawings of a folder are not in their order"
    assert shown(page, comfy_server, "5 light on dark: hints")[5].mean() > 0.9
    free, guided = (shown(page, comfy_server, f"{name}: film") for name in ("encode", "3, 8, 12 auto"))
    moved = (guided - free).abs().mean(dim=(1, 2, 3))
    assert moved[7] > 2 * max(moved[0], moved[-1])


def test_one_segment_is_drawn_again(page: Page, comfy_server: ComfyServer, pictures: Path) -> None:
    """The Sampler copied by keys, with its wires; the first one is not run a second time."""
    names = [f"tooncrafter_{name}.png" for name in ("first", "top", "last")]
    encode = {**ENCODE, "frames": str(SEGMENT)}
    load(page, interpolation(names, BUNDLED_MODEL, encode=encode, sample=SAMPLE, two_pass=False))
    page.evaluate(KEEP_SEED)
    run(page)
    before = shown(page, comfy_server, "save")
    page.locator("#graph-canvas").focus()
    page.keyboard.press("Control+c")
    page.keyboard.press("Control+Shift+v")
    page.wait_for_function("app.graph.nodes.filter(node => node.type === 'ToonCrafterSampler').length === 2")
    page.evaluate(AGAIN)
    run(page)
    screenshot(page, pictures / "segment_again.png")
    after = shown(page, comfy_server, "save")
    assert page.evaluate("window.kept")
    assert len(after) == len(before) == 2 * SEGMENT - 1
    assert torch.equal(after[: SEGMENT - 1], before[: SEGMENT - 1])
    assert all(not torch.equal(*pair) for pair in zip(after[SEGMENT:-1], before[SEGMENT:-1], strict=True))


def saved_film(page: Page, server: ComfyServer) -> Tensor:
    """The animation that the page shows as saved: (n, 3, H, W)."""
    (path,) = page.evaluate(OUTPUTS, "SaveAnimatedWEBP")
    with Image.open(server.base / path) as film:
        return torch.stack([to_tensor(frame) for frame in ImageSequence.Iterator(film)])


@pytest.mark.both_pages
def test_the_seed_that_is_picked_goes_on(page: Page, page_server: ComfyServer, pictures: Path) -> None:
    """Of the template's sheet, with the small model. Another choice does not sample again."""
    open_templates(page, PACK_NAME)
    page.get_by_test_id("template-workflow-seed_grid").first.click()
    page.wait_for_function("app.graph.nodes.some(node => node.type === 'ToonCrafterPickSeed')")
    for settings in SMALL_SEED_GRID.items():
        page.evaluate(SET, settings)
    run(page)
    screenshot(page, pictures / "seed_grid.png")
    (sheet,) = shown(page, page_server, "Save Image")
    rows = sheet.unflatten(2, (SEGMENT, SIZE[0])).unflatten(1, (2, -1))[:, :, : SIZE[1]].permute(1, 3, 0, 2, 4)
    assert not torch.equal(*rows)
    assert torch.equal(saved_film(page, page_server), rows[0])
    page.evaluate(PICK_ANOTHER)
    run(page)
    assert page.evaluate("window.kept")
    assert torch.equal(saved_film(page, page_server), rows[1])
