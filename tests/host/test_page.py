"""ComfyUI's page in a browser, as an animator uses it: open a workflow, queue it, see the result, get it back from a
saved file."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
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
from comfy_harness.server import PACK_NAME, ROOT, ComfyServer
from comfy_harness.stand_ins import with_stand_ins
from make_subgraph import NAME as BLUEPRINT
from played_preview import assert_plays, play
from playwright.sync_api import Page

WORKFLOWS = ROOT / "workflows"
QUICK_START = WORKFLOWS / "quick_start.json"
WATCH = """() => {
    window.seen = {previews: 0, steps: [], shown: []};
    app.api.addEventListener('b_preview_with_metadata', event => window.seen.shown.push(event.detail.blob));
    app.api.addEventListener('b_preview', event => {
        window.seen.previews++;
        window.lastPreview = event.detail;
    });
    app.api.addEventListener('progress', event => window.seen.steps.push(event.detail));
}"""
# The least likeness of neighbours among 4 x 4 parts of the last preview: frames of a scene are alike, corners are not.
LEAST_LIKENESS = """async () => {
    const picture = await createImageBitmap(window.lastPreview);
    const [width, height] = [picture.width / 4, picture.height / 4];
    const context = new OffscreenCanvas(picture.width, picture.height).getContext('2d');
    context.drawImage(picture, 0, 0);
    const parts = Array.from({length: 16}, (_, part) => {
        const {data} = context.getImageData((part % 4) * width, Math.floor(part / 4) * height, width, height);
        const values = Array.from(data).filter((_, index) => index % 4 < 3);
        const mean = values.reduce((sum, value) => sum + value) / values.length;
        const centred = values.map(value => value - mean);
        const norm = Math.hypot(...centred);
        return centred.map(value => value / norm);
    });
    const likeness = parts.slice(1).map((part, before) =>
        part.reduce((sum, value, index) => sum + value * parts[before][index], 0));
    return Math.min(...likeness);
}"""
# Of what was handed to the page before the last picture, a sheet: how many are frames of a sheet, and how many in all.
SHEET_AND_FRAMES = """async () => {
    const pictures = await Promise.all([...new Set(window.seen.shown)].map(blob => createImageBitmap(blob)));
    const last = pictures.pop();
    const frames = pictures.filter(picture => picture.width * 2 === last.width && picture.height * 2 === last.height);
    return [frames.length, pictures.length];
}"""
CONNECT_BLUEPRINT = """sketched => {
    const [node] = app.graph.nodes;
    const add = type => { const made = LiteGraph.createNode(type); app.graph.add(made); return made; };
    const load = (...names) => {
        const pictures = add('ToonCrafterLoadPictures');
        const files = names.map(name => `tooncrafter_${name}.png`).join('\\n');
        pictures.widgets.find(widget => widget.name === 'pictures').value = files;
        return pictures;
    };
    const slot = (slots, name) => slots.findIndex(slot => slot.name === name);
    load('first', 'top', 'last').connect(0, node, slot(node.inputs, 'keyframes'));
    if (sketched) load('sketch_00', 'sketch_15').connect(0, node, slot(node.inputs, 'sketches'));
    node.connect(slot(node.outputs, 'frames'), add('SaveImage'), 0);
    const shown = Object.fromEntries(node.widgets.map(widget => [widget._overlay?.widgetName, widget]));
    shown.steps.value = 2;
    shown.frames.value = 5;
    shown.frame_indices.value = '2, 6';
    return Object.keys(shown);
}"""
SAMPLER_STEPS = "app.graph.nodes.find(node => node.type === 'ToonCrafterSampler').widgets.find(w => w.name === 'steps')"
OUR_NODES = "app.graph.nodes.filter(node => node.type.startsWith('ToonCrafter')).length"
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


def test_templates_are_offered_with_thumbnails(page: Page, pictures: Path) -> None:
    page.evaluate("() => app.extensionManager.command.execute('Comfy.BrowseTemplates')")
    page.get_by_text("ComfyUI-ToonCrafter", exact=True).first.click()
    for file in WORKFLOWS.glob("*.json"):
        card = page.get_by_test_id(f"template-workflow-{file.stem}")
        card.scroll_into_view_if_needed()
        image = card.locator("img").first
        page.wait_for_function("image => image.naturalWidth > 0", arg=image.element_handle())
    page.screenshot(path=pictures / "templates.png")
    forget(page)
    page.get_by_test_id(f"template-workflow-{QUICK_START.stem}").click()
    page.wait_for_function(f"{OUR_NODES} > 0")
    assert types(page) == expected_types(QUICK_START)


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


def test_queue_shows_previews_progress_and_the_result(page: Page, pictures: Path) -> None:
    load_workflow(page, json.loads(QUICK_START.read_text()))
    fit_view(page)
    page.evaluate(f"() => {{ {SAMPLER_STEPS}.value = 8; }}")
    page.evaluate(WATCH)
    page.get_by_test_id("queue-button").first.click()
    shown = "app.graph.nodes.find(node => node.type === 'SaveAnimatedWEBP').imgs?.[0]?.naturalWidth"
    page.wait_for_function(f"{shown} === 128", timeout=180_000)
    seen = page.evaluate("() => window.seen")
    sampling = [step["value"] for step in seen["steps"] if step["max"] == 8]
    assert sampling == list(range(1, 9))
    assert seen["previews"] >= 4
    assert page.evaluate(LEAST_LIKENESS) > 0.7
    frames, played = page.evaluate(SHEET_AND_FRAMES)
    assert frames == played > 1
    screenshot(page, pictures / "result.png")


def test_stock_samplers_preview_all_frames(page: Page) -> None:
    (stock,) = (example for example in examples() if example.name == "stock_ksampler")
    page.evaluate("prompt => app.loadApiJson(prompt, 'stock')", with_stand_ins(stock.prompt, steps=8))
    page.evaluate(WATCH)
    queue(page)
    end_of_run(page)
    assert page.evaluate("window.seen.previews") >= 8
    assert page.evaluate(LEAST_LIKENESS) > 0.7
    frames, played = page.evaluate(SHEET_AND_FRAMES)
    assert frames == played > 1


@pytest.mark.parametrize("vue_nodes", [False, True], ids=["classic nodes", "Vue nodes"])
def test_previews_play(page: Page, vue_nodes: bool) -> None:
    page.evaluate("on => app.extensionManager.setting.set('Comfy.VueNodes.Enabled', on)", vue_nodes)
    load_workflow(page, json.loads(QUICK_START.read_text()))
    assert_plays(play(page))
    page.evaluate("() => app.extensionManager.setting.set('Comfy.VueNodes.Enabled', false)")


def test_help_of_a_node_opens(page: Page) -> None:
    load_workflow(page, json.loads(QUICK_START.read_text()))
    fit_view(page)
    page.evaluate("() => app.canvas.selectItems([app.graph.nodes.find(node => node.type === 'ToonCrafterSampler')])")
    page.get_by_test_id("info-button").click()
    shown = page.locator(".node-help-content")
    shown.get_by_role("heading", name="Recipe").wait_for()
    assert "guidance_scale" in shown.inner_text()


def test_the_page_knows_what_animators_call_it(page: Page) -> None:
    """Pages later than this one search these words too."""
    words = page.evaluate("() => LiteGraph.registered_node_types.ToonCrafterSampler.nodeData.search_aliases")
    assert {"interpolate", "inbetween", "tween", "anime", "line art"} <= set(words)


def test_the_server_lists_the_blueprint(comfy_server: ComfyServer) -> None:
    listed = comfy_server.get_json("/global_subgraphs")
    assert [entry["name"] for entry in listed.values() if entry["info"]["node_pack"].endswith(PACK_NAME)] == [BLUEPRINT]


@pytest.mark.parametrize("sketched", [True, False], ids=["guided", "free"])
def test_search_offers_a_blueprint_that_draws(
    page: Page, comfy_server: ComfyServer, pictures: Path, sketched: bool
) -> None:
    """Three keyframes, with two sketches and without, in four nodes at most, with the pack's own files; the page tells
    that the model wants more steps."""
    forget(page)
    page.evaluate("() => app.extensionManager.command.execute('Workspace.SearchBox.Toggle')")
    search = page.locator(".comfy-vue-node-search-container")
    search.locator("input").fill("in-between")
    search.get_by_role("option").filter(has_text=BLUEPRINT).click()
    page.wait_for_function("app.graph.nodes.length === 1")
    widgets = page.evaluate(CONNECT_BLUEPRINT, sketched)
    assert page.evaluate("app.graph.nodes.length") == (4 if sketched else 3)
    assert {"checkpoint", "text", "width", "height", "steps", "seed", "frame_indices"} <= set(widgets)
    before = set((comfy_server.base / "output").glob("*.png"))
    queue(page)
    assert end_of_run(page) == "execution_success"
    page.get_by_text("works best with steps 12; here it is steps 2").first.wait_for()
    assert len(set((comfy_server.base / "output").glob("*.png")) - before) == 9
    screenshot(page, pictures / "blueprint.png")


@pytest.fixture(scope="module")
def saved(page: Page, comfy_server: ComfyServer) -> dict[str, Path]:
    """One file of each kind that a graph of ours saves when the page queues it, by suffix."""
    load_workflow(page, json.loads(QUICK_START.read_text()))
    page.evaluate(
        """async () => {
            const of = type => app.graph.nodes.find(node => node.type === type);
            const add = type => { const node = LiteGraph.createNode(type); app.graph.add(node); return node; };
            const [picture, video, file] = ['SaveImage', 'CreateVideo', 'SaveVideo'].map(add);
            of('ToonCrafterDualRefDecode').connect(0, picture, 0);
            of('ToonCrafterDualRefDecode').connect(0, video, 0);
            video.connect(0, file, 0);
            const steps = of('ToonCrafterSampler').widgets.find(widget => widget.name === 'steps');
            steps.value = 2;
            window.ended = false;
            app.api.addEventListener('execution_success', () => window.ended = true);
            await app.queuePrompt(0);
        }"""
    )
    page.wait_for_function("window.ended", timeout=180_000)
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
