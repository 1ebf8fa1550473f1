"""ComfyUI's page as somebody new to the nodes meets them: the templates, one drag and one click, files that are not
there, the node search, and the film that takes few nodes."""

from __future__ import annotations

import json
from itertools import pairwise
from pathlib import Path
from typing import Any

import av
import pytest
from comfy_harness.browser import (
    SEARCHED,
    drop_file,
    end_of_run,
    fit_view,
    load_workflow,
    missing_nodes,
    open_search,
    open_templates,
    screenshot,
    to_api_prompt,
    watch_the_end,
)
from comfy_harness.examples import examples
from comfy_harness.examples.blueprints import blueprints, colouring, film
from comfy_harness.examples.example import ModelFile
from comfy_harness.folded import NAME as BLUEPRINT
from comfy_harness.prompts import BUNDLED_MODEL, BUNDLED_SKETCH_ENCODER
from comfy_harness.server import PACK_NAME, ROOT, ComfyServer
from PIL import Image, ImageChops, ImageSequence
from playwright.sync_api import Page
from watched_run import watch, watched

from tooncrafter_core import published
from tooncrafter_core.files.working_settings import read_working_settings

WORKFLOWS = ROOT / "workflows"
SMALL_MODEL = ROOT / "assets" / "tooncrafter-tiny" / "tooncrafter-tiny.safetensors"
OUR_NODES = "app.graph.nodes.filter(node => node.type.startsWith('ToonCrafter')).length"
MOST_NODES = 8
"""Of a film of three keyframes and two sketches, ours and ComfyUI's together."""
TWO_LINES = 68
"""Letters that the page shows below a template's name."""
FOUND_BY = {
    BLUEPRINT: ["tween", "inbetween", "in-between"],
    film().name: ["interpolate", "cartoon", "video"],
    colouring().name: ["anime", "animation", "line art"],
}
"""Which of the blueprints offers itself for what animators look for."""
DRAWINGS = [f"sketch_{frame:02}" for frame in (0, 2, 4, 6, 7, 9, 11, 13, 15)]
CONNECT_BLUEPRINT = """([sketches, saving]) => {
    const [node] = app.graph.nodes;
    const add = type => { const made = LiteGraph.createNode(type); app.graph.add(made); return made; };
    const slot = (slots, name) => slots.findIndex(slot => slot.name === name);
    const load = (names, input) => {
        const pictures = add('ToonCrafterLoadPictures');
        const files = names.map(name => `tooncrafter_${name}.png`).join('\\n');
        pictures.widgets.find(widget => widget.name === 'pictures').value = files;
        pictures.connect(0, node, slot(node.inputs, input));
    };
    load(['first', 'top', 'last'], 'keyframes');
    if (sketches.length) load(sketches, 'sketches');
    node.connect(0, add(saving), 0);
    const shown = Object.fromEntries(node.widgets.map(widget => [widget._overlay?.widgetName ?? widget.name, widget]));
    shown.steps.value = 5;
    shown.frames.value = 5;
    return Object.keys(shown);
}"""
WIDGET = """(type, name) => app.graph.nodes.find(node => node.type === type)
    .widgets.find(widget => widget.name === name).value"""
CHECKPOINT_MENU = """() => {
    const loader = app.graph.nodes.find(node => node.type === 'ToonCrafterLoader');
    const menu = loader.widgets.find(widget => widget.name === 'checkpoint');
    const {ds, canvas} = app.canvas;
    const {left, top} = canvas.getBoundingClientRect();
    const height = LiteGraph.NODE_WIDGET_HEIGHT / 2;
    const [x, y] = ds.convertOffsetToCanvas([loader.pos[0] + loader.size[0] / 2, loader.pos[1] + menu.last_y + height]);
    return [left + x, top + y];
}"""
"""The middle of the menu in ToonCrafter Loader."""
SAID_OF = """card => card.innerText + [...card.querySelectorAll('*')]
    .map(part => getComputedStyle(part, '::after').content.slice(1, -1)).join(' ')"""
"""Of a template, the line that our style sheet puts on the newest page's card included."""
ALL_IN_VIEW = """() => app.graph.nodes.every(({pos: [x, y], size: [width, height]}) => {
    const {ds, canvas} = app.canvas;
    const [left, top] = ds.convertOffsetToCanvas([x, y]);
    const [right, bottom] = ds.convertOffsetToCanvas([x + width, y + height]);
    return left >= 0 && top >= 0 && right <= canvas.clientWidth && bottom <= canvas.clientHeight;
})"""
FROM_OUTPUT_TO_NOWHERE = """([type, name]) => {
    const node = app.graph.nodes.find(node => node.type === type);
    const {ds, canvas} = app.canvas;
    const {left, top} = canvas.getBoundingClientRect();
    const [x, y] = ds.convertOffsetToCanvas(node.getOutputPos(node.outputs.findIndex(output => output.name === name)));
    return [[left + x, top + y], [left + canvas.clientWidth / 2, top + canvas.clientHeight - 60]];
}"""


def words(language: str) -> dict[str, str]:
    """What the templates are said to be, the simplest first."""
    texts: dict[str, Any] = json.loads((ROOT / "locales" / language / "main.json").read_text())
    return texts["toonCrafterTemplates"]


def workflow(name: str) -> dict[str, Any]:
    saved: dict[str, Any] = json.loads((WORKFLOWS / f"{name}.json").read_text())
    return saved


def test_each_template_has_a_line() -> None:
    names = [example.name for example in examples()]
    assert list(words("en")) == list(words("fr")) == names
    assert all(0 < len(line) <= TWO_LINES for line in [*words("en").values(), *words("fr").values()])


def test_templates_are_told_the_simplest_first(page: Page, pictures: Path) -> None:
    cards = open_templates(page, PACK_NAME)
    page.screenshot(path=pictures / "templates.png")
    places = []
    for name, line in words("en").items():
        card = page.get_by_test_id(f"template-workflow-{name}").first
        card.scroll_into_view_if_needed()
        image = card.locator("img").first
        page.wait_for_function("image => image.naturalWidth > 0", arg=image.element_handle())
        assert line.replace("-", " ") in card.evaluate(SAID_OF).replace("-", " ")
        places.append(cards.evaluate_all("(cards, card) => cards.indexOf(card)", card.element_handle()))
    assert places == sorted(places)
    page.get_by_test_id("template-workflow-quick_start").first.click()
    page.wait_for_function(f"{OUR_NODES} > 0")
    assert missing_nodes(page) == []
    page.wait_for_timeout(1000)
    page.screenshot(path=pictures / "template.png")
    assert page.evaluate(ALL_IN_VIEW)


def test_one_drag_and_one_click_make_a_moving_picture(page: Page, comfy_server: ComfyServer, pictures: Path) -> None:
    """Nothing was put into the server's folders but the models of other tests, and nothing is set on the page. That
    previews play is for `test_page.py`: four steps can be over before a busy page shows a second frame."""
    page.evaluate("() => app.graph.clear()")
    drop_file(page, WORKFLOWS / "four_steps.json")
    page.wait_for_function(f"{OUR_NODES} > 0")
    fit_view(page)
    watch(page)
    page.get_by_test_id("queue-button").first.click()
    shown = "app.graph.nodes.find(node => node.type === 'SaveAnimatedWEBP').imgs?.[0]?.naturalWidth"
    page.wait_for_function(f"{shown} === 128", timeout=180_000)
    seen = watched(page)
    assert [value for value, most in seen.progress if most == 4] == [1, 2, 3, 4]
    assert seen.sheets >= 2
    screenshot(page, pictures / "result.png")
    with Image.open(max((comfy_server.base / "output").glob("*.webp"), key=lambda file: file.stat().st_mtime)) as film:
        frames = [frame.convert("RGB") for frame in ImageSequence.Iterator(film)]
    assert len(frames) == 16
    assert all(ImageChops.difference(*pair).getbbox() for pair in pairwise(frames))


def test_a_film_with_sketches_takes_few_nodes(page: Page, pictures: Path) -> None:
    """That it draws 31 frames is for `test_workflows.py`."""
    load_workflow(page, workflow("one_node"))
    screenshot(page, pictures / "one_node.png")
    kinds = page.evaluate("() => app.graph.nodes.map(node => node.type).filter(type => type !== 'MarkdownNote')")
    assert kinds.count("ToonCrafterLoadPictures") == 2 and "SaveAnimatedWEBP" in kinds
    assert len(kinds) <= MOST_NODES
    inside = page.evaluate("() => app.graph.nodes.flatMap(node => node.subgraph?.nodes ?? []).length")
    assert inside == len(json.loads(_blueprint())["definitions"]["subgraphs"][0]["nodes"]) > 0


def _blueprint() -> str:
    return (ROOT / "subgraphs" / f"{BLUEPRINT}.json").read_text()


@pytest.mark.parametrize(
    "file", [published.PRUNED, published.TEXT_TOWER, published.VISION_TOWER], ids=lambda f: f.folder
)
def test_a_workflow_knows_where_its_files_are_from(file: ModelFile) -> None:
    known = [model for made in workflow("smaller_files")["nodes"] for model in made["properties"].get("models", [])]
    assert {"name": file.name, "url": file.address, "directory": file.folder} in known


def test_files_that_are_not_there_are_offered(page: Page, pictures: Path) -> None:
    """In a window that opens by itself; on the newest page beside the graph."""
    load_workflow(page, workflow("smaller_files"))
    in_a_window = page.get_by_role("dialog").filter(has_text="Missing Models")
    details = page.get_by_role("button", name="View details")
    in_a_window.or_(details).first.wait_for()
    if details.is_visible():
        details.click()
    offered = in_a_window.or_(page.get_by_test_id("error-group-missing-model"))
    offered.wait_for()
    for file in (published.PRUNED, published.TEXT_TOWER):
        offered.filter(has_text=file.folder).filter(has_text=file.name).wait_for()
    page.screenshot(path=pictures / "missing_files.png")
    page.keyboard.press("Escape")
    page.get_by_role("dialog").first.wait_for(state="hidden")


def test_the_settings_of_the_small_model_are_those_of_its_file(page: Page) -> None:
    made_for = read_working_settings(SMALL_MODEL)
    assert made_for
    known = page.evaluate(f"async () => (await import('/extensions/{PACK_NAME}/small_model.js')).SETTINGS")
    encode, sampler = known["ToonCrafterEncodeKeyframes"], known["ToonCrafterSampler"]
    assert encode == {"width": made_for.width, "height": made_for.height, "fps": made_for.frame_rate}
    wanted = {"steps": made_for.steps, "guidance_scale": made_for.guidance_scale}
    assert sampler == {**wanted, "clean_end": made_for.clean_end}
    assert known["KSampler"] == {"steps": made_for.steps, "cfg": made_for.guidance_scale}


def choose_the_small_model(page: Page) -> None:
    """In a template for ToonCrafter's own weights, by the menu of its Loader."""
    load_workflow(page, workflow("sketch_guide"))
    page.wait_for_timeout(1000)  # for the window of the files that are missing
    page.keyboard.press("Escape")
    page.get_by_role("dialog").first.wait_for(state="hidden")
    fit_view(page)
    page.mouse.click(*page.evaluate(CHECKPOINT_MENU))
    page.locator(".litecontextmenu").get_by_text(BUNDLED_MODEL, exact=True).click()
    page.get_by_text("steps 50 → 2").first.wait_for()


@pytest.mark.both_pages
def test_one_switch_chooses_the_small_model(page: Page, page_server: ComfyServer, pictures: Path) -> None:
    choose_the_small_model(page)
    screenshot(page, pictures / "small_model.png")
    sent = {made["class_type"]: made["inputs"] for made in to_api_prompt(page).values()}
    assert sent["ToonCrafterLoader"]["checkpoint"] == BUNDLED_MODEL
    assert sent["ToonCrafterSketchEncoderLoader"]["sketch_encoder"] == BUNDLED_SKETCH_ENCODER
    assert sent["ToonCrafterSketchGuide"]["strength"] == 1
    (film,) = drawn(page, page_server, "*.webp")
    with Image.open(film) as frames:
        assert (frames.n_frames, frames.size) == (16, (128, 64))


@pytest.mark.both_pages
def test_one_undo_takes_the_small_model_back(page: Page) -> None:
    choose_the_small_model(page)
    page.keyboard.press("Control+z")
    page.wait_for_function(f"({WIDGET})('ToonCrafterLoader', 'checkpoint') === '{published.MODEL.name}'")
    assert page.evaluate(f"({WIDGET})('ToonCrafterSampler', 'steps')") == 50


def test_the_page_knows_what_animators_call_it(page: Page) -> None:
    """Pages later than this one search these words too."""
    known = page.evaluate("() => LiteGraph.registered_node_types.ToonCrafterSampler.nodeData.search_aliases")
    assert {"interpolate", "inbetween", "tween", "anime", "line art"} <= set(known)


def test_other_packs_nodes_keep_their_words(page: Page) -> None:
    """Of one that has our name."""
    words = page.evaluate(
        """() => {
            const other = {name: 'ToonCrafterNode', python_module: 'custom_nodes.another', search_aliases: ['theirs']};
            app.extensions.find(({name}) => name === 'ToonCrafter.Search').beforeRegisterNodeDef(null, other);
            return other.search_aliases;
        }"""
    )
    assert words == ["theirs"]


def let_go(page: Page, output: str) -> None:
    """Pull a wire out of Encode Keyframes and let it go over an empty place."""
    load_workflow(page, workflow("quick_start"))
    fit_view(page)
    start, end = page.evaluate(FROM_OUTPUT_TO_NOWHERE, ["ToonCrafterEncodeKeyframes", output])
    page.mouse.move(*start)
    page.mouse.down()
    page.mouse.move(*end, steps=5)
    page.mouse.up()


def test_a_wire_let_go_offers_our_nodes(page: Page, pictures: Path) -> None:
    """In the menu for a type that is ours; by a search among what takes it for a type of ComfyUI's."""
    menu = page.locator(".litecontextmenu")
    let_go(page, "references")
    menu.get_by_text("ToonCrafterDualRefDecode").click()
    assert page.evaluate("app.graph.nodes.filter(node => node.type === 'ToonCrafterDualRefDecode').length") == 2
    let_go(page, "latent")
    menu.get_by_text("Search", exact=True).click()
    page.locator("input:focus").fill("ToonCrafter")
    options = page.locator(SEARCHED)
    options.filter(has_text="ToonCrafter Sampler").wait_for()
    page.screenshot(path=pictures / "wire.png")
    assert not options.filter(has_text="ToonCrafter Loader").count()
    page.keyboard.press("Escape")


def test_the_server_lists_the_blueprints(comfy_server: ComfyServer) -> None:
    listed = comfy_server.get_json("/global_subgraphs").values()
    ours = {entry["name"] for entry in listed if entry["info"]["node_pack"].endswith(PACK_NAME)}
    assert ours == {blueprint.name for blueprint in blueprints()} == FOUND_BY.keys()


def pick_blueprint(page: Page, name: str) -> None:
    """Look for a blueprint by each of its words, and put it on the empty graph."""
    written, offers = open_search(page)
    offered = offers.filter(has_text=name)
    for word in FOUND_BY[name]:
        written.fill("no node is called so")
        offered.wait_for(state="hidden")
        written.fill(word)
        offered.wait_for()
    offered.click()
    page.wait_for_function("app.graph.nodes.length === 1")


def drawn(page: Page, server: ComfyServer, files: str) -> list[Path]:
    """Run the graph on the page; what it saved in the output folder, of the files of a pattern."""
    before = set((server.base / "output").rglob(files))
    watch_the_end(page)
    page.evaluate("() => app.queuePrompt(0)")
    assert end_of_run(page) == "execution_success"
    return sorted(set((server.base / "output").rglob(files)) - before)


@pytest.mark.both_pages
def test_search_offers_a_blueprint_that_draws(page: Page, page_server: ComfyServer, pictures: Path) -> None:
    """Three keyframes in three nodes, with the pack's own files; the page tells that the model wants fewer steps."""
    pick_blueprint(page, BLUEPRINT)
    widgets = page.evaluate(CONNECT_BLUEPRINT, [[], "SaveImage"])
    assert {"checkpoint", "text", "width", "height", "steps", "seed", "frame_indices"} <= set(widgets)
    assert len(drawn(page, page_server, "*.png")) == 9
    page.get_by_text("works best with steps 2; here it is steps 5").first.wait_for()
    screenshot(page, pictures / "blueprint.png")


@pytest.mark.both_pages
def test_search_offers_a_blueprint_that_makes_a_video(page: Page, page_server: ComfyServer, pictures: Path) -> None:
    pick_blueprint(page, film().name)
    assert "fps" in page.evaluate(CONNECT_BLUEPRINT, [[], "SaveVideo"])
    (saved,) = drawn(page, page_server, "*.mp4")
    with av.open(saved) as video:
        assert sum(1 for _ in video.decode(video=0)) == 9
    screenshot(page, pictures / "blueprint_video.png")


@pytest.mark.both_pages
def test_search_offers_a_blueprint_that_colours_lines(page: Page, page_server: ComfyServer, pictures: Path) -> None:
    """It takes a drawing for every frame, of nine here, without being told for which."""
    pick_blueprint(page, colouring().name)
    page.evaluate(CONNECT_BLUEPRINT, [DRAWINGS, "SaveImage"])
    assert len(drawn(page, page_server, "*.png")) == len(DRAWINGS) == 9
    screenshot(page, pictures / "blueprint_colours.png")
