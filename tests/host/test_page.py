"""ComfyUI's page in a browser, as an animator uses it: open a workflow, queue it, see the result, get it back from a
saved file."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from bundled import true_frames, upload
from comfy_harness.browser import (
    drop_file,
    end_of_run,
    fit_view,
    load_workflow,
    missing_nodes,
    screenshot,
    watch_the_end,
)
from comfy_harness.examples import examples
from comfy_harness.prompts import Prompt, node
from comfy_harness.saved_graphs import numbered
from comfy_harness.server import ROOT, ComfyServer
from comfy_harness.stand_ins import with_stand_ins
from played_preview import assert_plays, play
from playwright.sync_api import Page
from watched_run import assert_a_film_played, watch, watched

from tooncrafter_core.files.images import fit_images
from tooncrafter_core.files.media import read_image

WORKFLOWS = ROOT / "workflows"
QUICK_START = WORKFLOWS / "quick_start.json"
OUR_NODES = "app.graph.nodes.filter(node => node.type.startsWith('ToonCrafter')).length"
# Our nodes five in a row, what shows their pictures below each, and the clip on the right; without pictures of before.
IN_ROWS = """() => {
    app.nodeOutputs = {};
    const below = app.graph.nodes.filter(node => node.type === 'PreviewImage');
    for (const node of app.graph.nodes) node.pos = [1550, node.type === 'LoadImage' ? 0 : 450];
    below.forEach((shown, index) => {
        const [x, y] = [310 * (index % 5), 560 * Math.floor(index / 5)];
        shown.getInputNode(0).pos = [x, y];
        shown.pos = [x, y + 240];
        shown.setSize([280, 270]);
    });
}"""
CONNECTS = """([from, to]) => {
    const find = type => app.graph.nodes.find(node => node.type === type);
    const output = find(from[0]), input = find(to[0]);
    const slot = name => slots => {
        const index = slots.findIndex(slot => slot.name === name);
        if (index < 0) throw new Error(`no slot ${name}`);
        return index;
    };
    return output.connect(slot(from[1])(output.outputs), input, slot(to[1])(input.inputs)) != null;
}"""


def queue(page: Page) -> None:
    watch_the_end(page)
    page.evaluate("() => app.queuePrompt(0)")


def types(page: Page) -> list[str]:
    found: list[str] = page.evaluate("() => app.graph.nodes.map(node => node.type).sort()")
    return found


def expected_types(file: Path) -> list[str]:
    return sorted(node["type"] for node in json.loads(file.read_text())["nodes"])


def forget(page: Page) -> None:
    page.evaluate("() => app.graph.clear()")


def test_a_dropped_workflow_opens(page: Page, pictures: Path) -> None:
    forget(page)
    drop_file(page, QUICK_START)
    page.wait_for_function(f"{OUR_NODES} > 0")
    assert types(page) == expected_types(QUICK_START)
    assert missing_nodes(page) == []
    screenshot(page, pictures / "quick_start.png")


@pytest.mark.parametrize(
    ("source", "target", "fits"),
    [
        (("ToonCrafterEncodeKeyframes", "references"), ("ToonCrafterDualRefDecode", "references"), True),
        (("ToonCrafterSketchEncoderLoader", "control_net"), ("ToonCrafterSketchGuide", "control_net"), True),
        (("ToonCrafterEncodeKeyframes", "references"), ("ToonCrafterDualRefDecode", "latent"), False),
        (("ToonCrafterEncodeKeyframes", "latent"), ("ToonCrafterDualRefDecode", "references"), False),
        (("ToonCrafterLoader", "model"), ("ToonCrafterSketchGuide", "control_net"), False),
    ],
)
def test_sockets_connect_to_their_own_kind(page: Page, source: tuple, target: tuple, fits: bool) -> None:
    load_workflow(page, json.loads(QUICK_START.read_text()))
    assert page.evaluate(CONNECTS, [source, target]) == fits


def test_sockets_have_colours(page: Page, pictures: Path) -> None:
    """Ours differs from ComfyUI's, which are all there, also after another palette was chosen."""
    load_workflow(page, json.loads(QUICK_START.read_text()))
    page.evaluate("() => app.extensionManager.setting.set('Comfy.ColorPalette', 'light')")
    page.wait_for_timeout(1000)
    screenshot(page, pictures / "quick_start_light.png")
    colours: dict[str, str] = page.evaluate("() => app.canvas.default_connection_color_byType")
    links: dict[str, str] = page.evaluate("() => app.canvas.constructor.link_type_colors")
    ours = colours["TOONCRAFTER_REFERENCES"]
    stock = [colours[name] for name in ("MODEL", "CLIP", "CLIP_VISION", "VAE", "CONDITIONING", "LATENT", "CONTROL_NET")]
    assert ours and all(stock)
    assert ours not in stock
    assert links["TOONCRAFTER_REFERENCES"] == ours
    page.evaluate("() => app.extensionManager.setting.set('Comfy.ColorPalette', 'dark')")


def test_stock_samplers_preview_all_frames(page: Page) -> None:
    (stock,) = (example for example in examples() if example.name == "stock_ksampler")
    page.evaluate("prompt => app.loadApiJson(prompt, 'stock')", with_stand_ins(stock.prompt, steps=12))
    watch(page)
    queue(page)
    page.wait_for_function("app.graph.nodes.find(node => node.type === 'KSampler').imgs?.[0]?.naturalWidth > 0")
    end_of_run(page)
    assert watched(page).sheets >= 4
    assert_a_film_played(page)


@pytest.mark.parametrize("vue_nodes", [False, True], ids=["classic nodes", "Vue nodes"])
def test_previews_play(page: Page, vue_nodes: bool) -> None:
    page.evaluate("on => app.extensionManager.setting.set('Comfy.VueNodes.Enabled', on)", vue_nodes)
    load_workflow(page, json.loads(QUICK_START.read_text()))
    assert_plays(play(page))
    page.evaluate("() => app.extensionManager.setting.set('Comfy.VueNodes.Enabled', false)")


def test_help_of_a_node_opens(page: Page, pictures: Path) -> None:
    load_workflow(page, json.loads(QUICK_START.read_text()))
    fit_view(page)
    page.evaluate("() => app.canvas.selectItems([app.graph.nodes.find(node => node.type === 'ToonCrafterSampler')])")
    page.get_by_test_id("info-button").click()
    shown = page.locator(".node-help-content")
    shown.get_by_role("heading", name="Recipe").wait_for()
    picture = shown.locator("img")
    page.wait_for_function("image => image.naturalWidth > 0", arg=picture.element_handle())
    page.screenshot(path=pictures / "help.png")
    assert "guidance_scale" in shown.inner_text()


@pytest.fixture(scope="module")
def saved(page: Page, comfy_server: ComfyServer) -> dict[str, Path]:
    """One file of each kind that a graph of ours saves when the page queues it, by suffix."""
    load_workflow(page, json.loads(QUICK_START.read_text()))
    page.evaluate(
        """() => {
            const of = type => app.graph.nodes.find(node => node.type === type);
            const add = type => { const node = LiteGraph.createNode(type); app.graph.add(node); return node; };
            const [picture, video, file] = ['SaveImage', 'CreateVideo', 'SaveVideo'].map(add);
            of('ToonCrafterDualRefDecode').connect(0, picture, 0);
            of('ToonCrafterDualRefDecode').connect(0, video, 0);
            video.connect(0, file, 0);
            const set = (type, name, value) => {
                of(type).widgets.find(widget => widget.name === name).value = value;
            };
            set('ToonCrafterSampler', 'steps', 2);
            set('ToonCrafterDualRefDecode', 'keep_keyframes', true);
        }"""
    )
    queue(page)
    assert end_of_run(page) == "execution_success"
    output = comfy_server.base / "output"
    return {
        suffix: max(output.rglob(f"*{suffix}"), key=lambda file: file.stat().st_mtime)
        for suffix in (".png", ".webp", ".mp4")
    }


@pytest.mark.parametrize("suffix", [".png", ".webp", ".mp4"])
def test_a_saved_file_brings_its_workflow_back(page: Page, saved: dict[str, Path], suffix: str) -> None:
    forget(page)
    drop_file(page, saved[suffix])
    page.wait_for_function(f"{OUR_NODES} > 0")
    assert types(page) == sorted([*expected_types(QUICK_START), "SaveImage", "CreateVideo", "SaveVideo"])


def test_kept_keyframes_are_on_the_page_as_drawn(saved: dict[str, Path]) -> None:
    """`keep_keyframes` was on; the last picture saved is the last frame."""
    drawn = read_image(ROOT / "assets" / "keyframes" / "last.png")[None]
    kept = read_image(saved[".png"])[None]
    assert (kept - fit_images(drawn, 128, 64, "crop")).abs().max() <= 1.01 / 255


def frame_nodes(clip: str) -> tuple[Prompt, dict[str, int]]:
    """Nodes for finished frames behind a clip of 16, each with what shows its pictures; how many those are."""
    timed = {"frames": ["clip", 0], "frames_per_segment": 16}
    skin = {"before": 2, "after": 2, "before_tint": "#ff0000", "after_tint": "#0000ff", "opacity": 0.5}
    kinds: dict[str, tuple[str, dict[str, Any], int]] = {
        "lines": ("ExtractSketch", {"frames": ["clip", 0], "pick": "bisect:2", "frames_per_segment": "16"}, 3),
        "matched": ("MatchColours", {**timed, "strength": 1.0}, 16),
        "retimed": ("Retime", {**timed, "curve": "cubic in-out", "length": 9, "blend": False}, 9),
        "held": ("HoldFrames", {**timed, "hold": 2}, 16),
        "trimmed": ("TrimKeyframes", {**timed, "drop": 3}, 10),
        "back": ("PingPong", {"frames": ["clip", 0], "repeat_ends": False}, 30),
        "distinct": ("DropDuplicates", {"frames": ["held", 0], "threshold": 2.0}, 9),
        "cut_out": ("Matte", {"frames": ["clip", 0], "transparent": 6.0, "opaque": 24.0}, 16),
        "sheet": ("ContactSheet", {"frames": ["clip", 0], "columns": 8, "keyframes": "0, -1", "sketches": "7"}, 1),
        "skin": ("OnionSkin", {"frames": ["clip", 0], "frame": 7, **skin}, 1),
    }
    made = {name: node(f"ToonCrafter{kind}", **inputs) for name, (kind, inputs, _) in kinds.items()}
    shows = {f"{name}_shown": node("PreviewImage", images=[name, 0]) for name in kinds}
    gif = node("ToonCrafterSaveGif", frames=["clip", 0], filename_prefix="page", fps=12)
    prompt = {"clip": node("LoadImage", image=clip), **made, **shows, "gif": gif}
    return prompt, {**{f"{name}_shown": count for name, (_, _, count) in kinds.items()}, "gif": 1}


def test_nodes_for_frames_show_what_they_do(page: Page, comfy_server: ComfyServer, pictures: Path) -> None:
    prompt, expected = frame_nodes(upload(comfy_server, true_frames(), "page_clip"))
    numbers = {name: str(number) for number, name in enumerate(prompt, start=1)}
    page.evaluate("prompt => app.loadApiJson(prompt, 'frames')", numbered(prompt, {}))
    page.evaluate(IN_ROWS)
    queue(page)
    assert end_of_run(page) == "execution_success"
    shown = page.evaluate("() => Object.entries(app.nodeOutputs).map(([id, {images}]) => [id, images?.length])")
    assert {name: dict(shown)[numbers[name]] for name in expected} == expected
    screenshot(page, pictures / "frame_nodes.png")
