"""The strip of the film on Encode Keyframes and Sketch Guide: pointer, keys, and what they leave in the workflow."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from comfy_harness.browser import load_workflow, to_api_prompt
from comfy_harness.server import ROOT
from playwright.sync_api import ElementHandle, Page

from tooncrafter_core.sketches.indices import parse_frame_indices
from tooncrafter_core.timeline import parse_frames

pytestmark = pytest.mark.both_pages

WORKFLOWS = ROOT / "workflows"
ENCODE, GUIDE = "ToonCrafterEncodeKeyframes", "ToonCrafterSketchGuide"
FRAMES_JS = "import('/extensions/ComfyUI-ToonCrafter/timeline/frames.js')"
TOTAL = 16
READ = f"""async ([text, counts, loop]) => {{
    const {{makeFilm, parseCounts, parseIndices, Unreadable}} = await {FRAMES_JS};
    try {{ return parseIndices(text, makeFilm(parseCounts(counts, null, loop), loop)); }}
    catch (error) {{ if (error instanceof Unreadable) return error.key; throw error; }}
}}"""
CALL = f"async ([name, values]) => (await {FRAMES_JS})[name](...values)"
SHOW = """type => {
    const node = app.canvas.graph.nodes.find(node => node.type === type);
    app.canvas.ds.scale = 1;
    app.canvas.centerOnNode(node);
    app.canvas.draw(true, true);
    return node.widgets.find(widget => widget.name === 'timeline').element;
}"""
VALUE = """([type, name]) => app.graph.nodes.find(node => node.type === type)
    .widgets.find(widget => widget.name === name).value"""
SET = """([type, name, value]) => {
    const node = app.graph.nodes.find(node => node.type === type);
    node.widgets.find(widget => widget.name === name).value = value;
    app.canvas.draw(true, true);
}"""

SET_MODE = """([type, mode]) => {
    app.graph.nodes.find(node => node.type === type).mode = mode;
    app.canvas.draw(true, true);
}"""
BYPASS = """([type, folded]) => {
    const node = app.graph.nodes.find(node => node.type === type);
    (folded ? app.graph.convertToSubgraph(new Set([node])).node : node).mode = 4;
    app.canvas.draw(true, true);
}"""
FOLD = """types => {
    const nodes = app.graph.nodes.filter(node => types.includes(node.type));
    app.graph.convertToSubgraph(new Set(nodes));
    app.canvas.draw(true, true);
}"""
SET_OUTSIDE = """([name, value]) => {
    const folded = app.graph.nodes.find(node => node.subgraph);
    folded.widgets.find(widget => (widget._overlay?.widgetName ?? widget.name) === name).value = value;
}"""
OPEN = """() => {
    const folded = app.graph.nodes.find(node => node.subgraph);
    app.canvas.openSubgraph(folded.subgraph, folded);
}"""
FRAMES = "(strip, kind) => [...strip.querySelectorAll(`.${kind} .frame`)].map(text => text.textContent)"
"""Of the keyframes or sketches of a strip."""


def strip(page: Page, kind: str) -> ElementHandle:
    """The strip of the first node of a kind, in the middle of the window."""
    element = page.evaluate_handle(SHOW, kind).as_element()
    assert element
    element.wait_for_element_state("visible")
    return element


def frames_on(page: Page, kind: str, what: str) -> list[str]:
    """Frames of the keyframes or sketches on the strip of the first node of a kind."""
    page.wait_for_timeout(200)  # until the page has drawn it
    frames: list[str] = page.evaluate(f"([strip, what]) => ({FRAMES})(strip, what)", [strip(page, kind), what])
    return frames


def value(page: Page, kind: str, name: str) -> Any:
    return page.evaluate(VALUE, [kind, name])


def write(page: Page, kind: str, name: str, text: Any) -> None:
    page.evaluate(SET, [kind, name, text])


def named(element: ElementHandle, label: str) -> ElementHandle:
    found = element.query_selector(f"[aria-label='{label}']")
    assert found, label
    return found


def frames_apart(element: ElementHandle, frames: float, span: int = TOTAL - 1) -> float:
    """Pixels from one frame to another so many later."""
    axis = element.query_selector(".axis")
    assert axis
    box = axis.bounding_box()
    assert box
    return box["width"] * frames / span


def middle(element: ElementHandle) -> tuple[float, float]:
    box = element.bounding_box()
    assert box
    return box["x"] + box["width"] / 2, box["y"] + box["height"] / 2


def drag(page: Page, handle: ElementHandle, pixels: float) -> None:
    x, y = middle(handle)
    page.mouse.move(x, y)
    page.mouse.down()
    page.mouse.move(x + pixels / 2, y, steps=3)
    page.mouse.move(x + pixels, y)
    page.mouse.up()


@pytest.fixture
def guide(page: Page) -> ElementHandle:
    """The strip of the quick start's Sketch Guide: 16 frames, a sketch at frame 7."""
    load_workflow(page, json.loads((WORKFLOWS / "quick_start.json").read_text()))
    return strip(page, GUIDE)


@pytest.mark.parametrize(
    "text",
    [
        "7",
        "5, 9-11",
        "-1",
        "0, -3, 50%",
        "33.333333%, 100%",
        "10%",
        "0%",
        "bisect:2",
        "bisect:9",
        "every:4",
        "0-15",
        " 3 ,",
        "",
    ],
)
def test_frame_indices_are_read_as_the_node_reads_them(page: Page, text: str) -> None:
    read = page.evaluate(READ, [text, [TOTAL], False])
    assert read == parse_frame_indices(text, None, TOTAL)
    written = page.evaluate(CALL, ["formatIndices", [read]])
    assert parse_frame_indices(written, None, TOTAL) == read


@pytest.mark.parametrize("text", ["seven", "16", "-17", "11-9", "3, 3", "3, 2-4", "101%", "every:0", "1.5", "5 6"])
def test_what_the_node_refuses_is_named(page: Page, text: str) -> None:
    with pytest.raises(ValueError):
        parse_frame_indices(text, None, TOTAL)
    assert page.evaluate(READ, [text, [TOTAL], False]) in ("unreadable", "twice", "outside")


def test_segments_of_their_own_lengths(page: Page) -> None:
    assert page.evaluate(READ, ["bisect:1, -1", [5, 9, 3], False]) == [2, 8, 13, 14]
    assert page.evaluate(READ, ["-1", [5, 9, 3], True]) == [13]
    assert page.evaluate(CALL, ["parseCounts", ["16", 4, False]]) == [16, 16, 16]
    assert page.evaluate(CALL, ["parseCounts", [16, 3, True]]) == [16, 16, 16]
    assert page.evaluate(CALL, ["parseCounts", ["16, 24,12", None, False]]) == [16, 24, 12]
    assert page.evaluate(CALL, ["formatCounts", [[16, 24, 12]]]) == "16, 24, 12"
    assert page.evaluate(CALL, ["formatCounts", [[12, 12]]]) == "12"


@pytest.mark.parametrize("text", ["", "0", "1", "16, 0, 3", "16,", "16 24", "16.5", "sixteen", "1001"])
def test_counts_that_the_node_refuses_are_named(page: Page, text: str) -> None:
    with pytest.raises(ValueError):
        parse_frames(text)
    assert page.evaluate(READ, ["", text, False]) == "uncounted"


def test_a_segment_longer_than_a_model_reaches_is_named(page: Page) -> None:
    assert page.evaluate(READ, ["", "226", False]) == []
    assert page.evaluate(READ, ["", "227", False]) == "uncounted"


def test_places_on_the_strip_are_frames_and_back(page: Page) -> None:
    film = page.evaluate(CALL, ["makeFilm", [[5, 9], False]])
    for frame in range(film["total"]):
        share = page.evaluate(CALL, ["shareOf", [frame, film]])
        assert page.evaluate(CALL, ["frameAt", [share, film]]) == frame
    assert [page.evaluate(CALL, ["frameAt", [share, film]]) for share in (-0.5, 1.5)] == [0, 12]


def test_the_film_is_shown_with_its_pictures(page: Page, guide: ElementHandle, pictures: Path) -> None:
    page.wait_for_function(
        """strip => { const images = [...strip.querySelectorAll('img')];
            return images.length === 3 && images.every(image => image.naturalWidth > 0); }""",
        arg=guide,
    )
    assert [text.inner_text() for text in guide.query_selector_all(".keyframe .frame")] == ["0", "15"]
    assert [text.inner_text() for text in guide.query_selector_all(".sketch .frame")] == ["7"]
    page.screenshot(path=pictures / "timeline.png")
    encode = strip(page, ENCODE)
    assert len(encode.query_selector_all(".keyframe")) == 2
    assert len(encode.query_selector_all(".sketch")) == 1
    assert encode.query_selector(".sketch:disabled")


def test_a_click_places_a_sketch_and_a_drag_moves_it(page: Page, guide: ElementHandle) -> None:
    write(page, GUIDE, "strengths", "")
    x, y = middle(named(guide, "Sketch 1"))
    page.mouse.click(x + frames_apart(guide, 4), y)
    assert value(page, GUIDE, "frame_indices") == "7, 11"
    drag(page, named(guide, "Sketch 1"), frames_apart(guide, -3))
    assert value(page, GUIDE, "frame_indices") == "4, 11"
    drag(page, named(guide, "Sketch 2"), frames_apart(guide, 40))
    assert value(page, GUIDE, "frame_indices") == "4, 15"
    assert "1 drawing(s) for 2 frame(s)" in guide.inner_text()
    assert page.evaluate(f"app.graph.nodes.find(node => node.type === '{GUIDE}').pos") == _position(GUIDE)


def _position(kind: str) -> list[float]:
    nodes = json.loads((WORKFLOWS / "quick_start.json").read_text())["nodes"]
    return next(node["pos"] for node in nodes if node["type"] == kind)


def test_keys_move_and_remove_a_sketch(page: Page, guide: ElementHandle) -> None:
    write(page, GUIDE, "frame_indices", "7, 9, 2")
    write(page, GUIDE, "strengths", "0.1, 0.2, 0.3")
    page.evaluate("strip => strip.querySelector('.sketch').focus()", guide)
    assert page.evaluate("getComputedStyle(document.activeElement).outlineStyle") == "solid"
    page.keyboard.press("ArrowRight")
    assert value(page, GUIDE, "frame_indices") == "8, 9, 2"
    page.keyboard.press("ArrowRight")  # over the sketch at 9
    assert value(page, GUIDE, "frame_indices") == "10, 9, 2"
    page.keyboard.press("Home")
    assert value(page, GUIDE, "frame_indices") == "0, 9, 2"
    page.keyboard.press("Delete")
    assert value(page, GUIDE, "frame_indices") == "9, 2"
    assert value(page, GUIDE, "strengths") == "0.2, 0.3"
    assert page.evaluate("document.activeElement.getAttribute('aria-valuetext')") == "frame 9"
    page.keyboard.press("Backspace")
    page.keyboard.press("Delete")
    assert value(page, GUIDE, "frame_indices") == ""
    assert page.evaluate(f"app.graph.nodes.filter(node => node.type === '{GUIDE}').length") == 1
    named(guide, "Add a sketch").press("Enter")
    assert value(page, GUIDE, "frame_indices") == "7"


def test_what_cannot_be_read_is_left_as_it_is(page: Page, guide: ElementHandle) -> None:
    write(page, GUIDE, "frame_indices", "7, eight")
    assert "eight" in guide.inner_text()
    page.mouse.click(*middle(guide))
    assert value(page, GUIDE, "frame_indices") == "7, eight"


def test_the_workflow_keeps_what_was_placed(page: Page, guide: ElementHandle) -> None:
    named(guide, "Sketch 1").press("ArrowLeft")
    saved = json.loads(page.evaluate("() => JSON.stringify(app.graph.serialize())"))
    (node,) = (node for node in saved["nodes"] if node["type"] == GUIDE)
    assert node["widgets_values"] == ["6", 1, "", "auto", 0, 1]
    assert "timeline" not in json.dumps(to_api_prompt(page))
    load_workflow(page, saved)
    assert named(strip(page, GUIDE), "Sketch 1").get_attribute("aria-valuenow") == "6"


def test_ctrl_z_takes_a_move_back(page: Page, guide: ElementHandle) -> None:
    drag(page, named(guide, "Sketch 1"), frames_apart(guide, 2))
    assert value(page, GUIDE, "frame_indices") == "9"
    page.keyboard.press("Control+z")
    page.wait_for_function(f"({VALUE})(['{GUIDE}', 'frame_indices']) === '7'")


@pytest.fixture
def vue_nodes(page: Page) -> Iterator[None]:
    """The quick start with Vue nodes."""
    setting = "on => app.extensionManager.setting.set('Comfy.VueNodes.Enabled', on)"
    page.evaluate(setting, True)
    load_workflow(page, json.loads((WORKFLOWS / "quick_start.json").read_text()))
    yield
    page.evaluate(setting, False)


@pytest.fixture
def segments(page: Page) -> ElementHandle:
    """The strip of an Encode Keyframes with three keyframes and segments of their own lengths."""
    load_workflow(page, json.loads((WORKFLOWS / "many_keyframes.json").read_text()))
    write(page, ENCODE, "frames", "16, 24")
    return strip(page, ENCODE)


def test_the_end_of_a_segment_changes_its_frames(page: Page, segments: ElementHandle) -> None:
    assert [text.inner_text() for text in segments.query_selector_all(".keyframe .frame")] == ["0", "15", "38"]
    drag(page, named(segments, "End of segment 1"), frames_apart(segments, 5, 38))
    assert value(page, ENCODE, "frames") == "21, 24"
    named(segments, "End of segment 2").press("ArrowLeft")
    assert value(page, ENCODE, "frames") == "21, 23"
    drag(page, named(segments, "End of segment 1"), frames_apart(segments, -90, 42))
    assert value(page, ENCODE, "frames") == "2, 23"


def test_counts_of_other_segments_are_named(page: Page, segments: ElementHandle) -> None:
    write(page, ENCODE, "frames", "16, 24, 12")
    assert "3 segments, but there are 2" in segments.inner_text()


def test_pictures_of_a_folder_are_not_guessed(page: Page, guide: ElementHandle) -> None:
    page.evaluate(
        """names => {
            const pictures = LiteGraph.createNode('ToonCrafterLoadPictures');
            app.graph.add(pictures);
            const encode = app.graph.nodes.find(node => node.type === 'ToonCrafterEncodeKeyframes');
            pictures.connect(0, encode, encode.inputs.findIndex(input => input.name === 'keyframes'));
            pictures.widgets[0].value = names;
            app.canvas.draw(true, true);
        }""",
        "tooncrafter_first.png\ntooncrafter_top.png\ntooncrafter_last.png",
    )
    assert [text.inner_text() for text in guide.query_selector_all(".keyframe .frame")] == ["0", "15", "30"]
    write(page, "ToonCrafterLoadPictures", "pictures", "drawings")
    assert "not known" in guide.inner_text()
    assert len(guide.query_selector_all(".keyframe")) == 2


@pytest.mark.parametrize("mode", [2, 4], ids=["muted", "bypassed"])
@pytest.mark.usefixtures("guide")
def test_sketches_that_do_not_guide_are_not_shown_as_if(page: Page, mode: int) -> None:
    page.evaluate(SET_MODE, [GUIDE, mode])
    assert frames_on(page, ENCODE, "sketch") == []
    page.evaluate(SET_MODE, [GUIDE, 0])
    assert frames_on(page, ENCODE, "sketch") == ["7"]


@pytest.mark.parametrize("folded", [False, True], ids=["node", "subgraph"])
@pytest.mark.usefixtures("segments")
def test_a_bypassed_node_passes_its_first_pictures_on(page: Page, folded: bool) -> None:
    """Here the first keyframe of two, so that two of three are left."""
    write(page, ENCODE, "frames", "16")
    page.evaluate(BYPASS, ["ImageBatch", folded])
    assert frames_on(page, ENCODE, "keyframe") == ["0", "15"]


@pytest.mark.parametrize("inside", [[GUIDE], [ENCODE, GUIDE], [ENCODE]], ids=["guide", "both", "encode"])
@pytest.mark.usefixtures("guide")
def test_the_film_is_shown_across_the_edge_of_a_subgraph(page: Page, inside: list[str]) -> None:
    page.evaluate(FOLD, inside)
    for kind in {ENCODE, GUIDE} - set(inside):
        assert frames_on(page, kind, "sketch") == ["7"]
    page.evaluate(OPEN)
    for kind in inside:
        assert frames_on(page, kind, "keyframe") == ["0", "15"]
        assert frames_on(page, kind, "sketch") == ["7"]
        assert "16 frames" in strip(page, kind).inner_text()
        assert "as if" not in strip(page, kind).inner_text()


def test_the_film_in_one_node_is_shown_and_edited_when_it_is_opened(page: Page, pictures: Path) -> None:
    """The newest page keeps the values of the node outside, the other those of the nodes inside."""
    load_workflow(page, json.loads((WORKFLOWS / "one_node.json").read_text()))
    page.evaluate(SET_OUTSIDE, ["frames", "12"])
    page.evaluate(OPEN)
    assert frames_on(page, ENCODE, "keyframe") == ["0", "11", "22"]
    named(strip(page, GUIDE), "Sketch 2").press("Home")
    assert frames_on(page, GUIDE, "sketch") == ["8", "0"]
    page.screenshot(path=pictures / "timeline_in_a_subgraph.png")
    sent = {made["class_type"]: made["inputs"] for made in to_api_prompt(page).values()}
    assert (sent[ENCODE]["frames"], sent[GUIDE]["frame_indices"]) == ("12", "8, 0")


@pytest.mark.usefixtures("vue_nodes")
def test_vue_nodes_have_it_too(page: Page, pictures: Path) -> None:
    guide = strip(page, GUIDE)
    page.wait_for_timeout(1000)  # until the page has laid out its nodes
    page.screenshot(path=pictures / "timeline_vue.png")
    x, y = middle(named(guide, "Sketch 1"))
    page.mouse.click(x + frames_apart(guide, 4), y)
    drag(page, named(guide, "Sketch 1"), frames_apart(guide, -3))
    page.keyboard.press("ArrowLeft")
    assert value(page, GUIDE, "frame_indices") == "3, 11"


@pytest.mark.usefixtures("vue_nodes")
def test_ctrl_z_takes_a_move_back_on_vue_nodes(page: Page) -> None:
    """The strip on view is that of the node which the page has made anew."""
    named(strip(page, GUIDE), "Sketch 1").press("ArrowRight")
    page.keyboard.press("Control+z")
    page.wait_for_function(f"({VALUE})(['{GUIDE}', 'frame_indices']) === '7'")
    page.wait_for_function(f"({SHOW})('{GUIDE}').isConnected")
    assert frames_on(page, GUIDE, "sketch") == ["7"]
    named(strip(page, GUIDE), "Sketch 1").press("ArrowLeft")
    assert value(page, GUIDE, "frame_indices") == "6"


@pytest.mark.usefixtures("guide")
def test_it_speaks_the_language_of_the_page(page: Page) -> None:
    """The newest page makes its nodes anew for another language."""
    language = "language => app.extensionManager.setting.set('Comfy.Locale', language)"
    for chosen, said in [("fr", "16 images"), ("en", "16 frames")]:
        page.evaluate(language, chosen)
        page.wait_for_function(f"said => ({SHOW})('{GUIDE}').innerText.includes(said)", arg=said)


def test_the_words_are_there_in_french() -> None:
    english, french = (
        json.loads((ROOT / "locales" / language / "main.json").read_text())["toonCrafterTimeline"]
        for language in ("en", "fr")
    )
    assert french.keys() == english.keys()
    assert all(french.values())
