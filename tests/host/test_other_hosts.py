"""Older and newer than the ComfyUI of the other tests: the oldest server at hand with the V3 node API, the newest page.

TOONCRAFTER_COMFYUI=oldest or TOONCRAFTER_PAGE=newest runs any other test file on them; tests of the page
that are marked `both_pages` run on the newest one by themselves.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from bundled import MIDDLE, SCENE, SKETCHED, assert_in_betweens, scene_graph, sketched_graph
from comfy_harness.browser import (
    end_of_run,
    find_chromium,
    fit_view,
    load_workflow,
    missing_nodes,
    open_page,
    open_search,
    open_templates,
    screenshot,
    to_api_prompt,
    watch_the_end,
)
from comfy_harness.examples import examples
from comfy_harness.prompts import settings_of
from comfy_harness.server import PACK_NAME, ROOT, ComfyServer
from comfy_harness.stand_ins import with_stand_ins
from played_preview import assert_plays, play
from playwright.sync_api import Page
from results import frames_of

from tooncrafter_core.evaluation.metrics import psnr
from tooncrafter_core.evaluation.scenes import picture

NODES = {file.stem for file in (ROOT / "web" / "docs").glob("*.md")}
QUICK_START = ROOT / "workflows" / "quick_start.json"
WORDS = ["interpolate", "inbetween", "in-between", "tween", "cartoon", "anime", "animation", "video", "line art"]
"""By aliases; by "video" a blueprint's name only: the page lists 64 nodes, and as many of ComfyUI's are called so."""
BELOW_NAMES = """cards => cards.map(card => [...card.querySelectorAll('*')]
    .map(part => getComputedStyle(part, '::after').content).filter(said => said.length > 4))"""
"""What our style sheet puts on each card."""


@pytest.fixture(scope="module")
def oldest() -> Iterator[ComfyServer]:
    with ComfyServer(environment={"TOONCRAFTER_COMFYUI": "oldest"}) as server:
        yield server


def test_the_oldest_is_older(oldest: ComfyServer) -> None:
    assert oldest.get_json("/system_stats")["system"]["comfyui_version"] == "0.3.52"


def test_the_oldest_knows_every_node(oldest: ComfyServer) -> None:
    assert {name for name in oldest.object_info() if name.startswith("ToonCrafter")} == NODES


def test_the_oldest_draws_in_betweens(oldest: ComfyServer) -> None:
    plain, guided = (frames_of(oldest, graph(oldest)) for graph in (scene_graph, sketched_graph))
    assert_in_betweens(plain)
    wanted = picture(SCENE, SKETCHED)[None]
    assert psnr(guided[[MIDDLE]], wanted) > psnr(plain[[MIDDLE]], wanted) + 1


def test_the_oldest_samples_with_a_stock_node(oldest: ComfyServer) -> None:
    (stock,) = (example for example in examples() if example.name == "stock_ksampler")
    history = oldest.run(with_stand_ins(stock.prompt, steps=2))
    assert oldest.outputs(history)


@pytest.fixture(scope="module")
def newest(newest_server: ComfyServer) -> Iterator[Page]:
    if find_chromium() is None:
        pytest.skip("no Chromium is installed")
    with open_page(newest_server.url) as page:
        yield page


def test_the_newest_is_newer(newest: Page) -> None:
    assert newest.evaluate("window.__COMFYUI_FRONTEND_VERSION__") == "1.58.1"


def test_the_newest_page_keeps_the_seed_that_is_picked(newest: Page) -> None:
    """It takes a number for that of a wired list where a widget of its own comes after."""
    load_workflow(newest, json.loads((ROOT / "workflows" / "seed_grid.json").read_text()))
    (picked,) = (node for node in to_api_prompt(newest).values() if node["class_type"] == "ToonCrafterPickSeed")
    assert picked["inputs"]["seed"] == 0


@pytest.mark.parametrize("vue_nodes", [False, True], ids=["classic nodes", "Vue nodes"])
def test_the_newest_page_runs_the_quick_start(newest: Page, vue_nodes: bool, pictures: Path) -> None:
    newest.evaluate("on => app.extensionManager.setting.set('Comfy.VueNodes.Enabled', on)", vue_nodes)
    load_workflow(newest, json.loads(QUICK_START.read_text()))
    assert missing_nodes(newest) == []
    (made,) = (example.prompt for example in examples() if example.name == "quick_start")
    sent = to_api_prompt(newest)
    for expected, number in zip(made.values(), sorted(sent, key=int), strict=True):
        settings = settings_of(expected)
        assert {name: sent[number]["inputs"][name] for name in settings} == settings
    steps = "app.graph.nodes.find(node => node.type === 'ToonCrafterSampler').widgets.find(w => w.name === 'steps')"
    newest.evaluate(f"() => {{ {steps}.value = 2; }}")
    assert_plays(play(newest))
    watch_the_end(newest)
    newest.get_by_test_id("queue-button").first.click()
    assert end_of_run(newest) == "execution_success"
    screenshot(newest, pictures / f"newest_page_{'vue' if vue_nodes else 'classic'}.png")


def test_the_newest_page_lists_fields_beside_the_graph(newest: Page) -> None:
    """All but the strip of the film, of which it would show the name only."""
    load_workflow(newest, json.loads(QUICK_START.read_text()))
    fit_view(newest)
    newest.evaluate(
        "() => app.canvas.selectItems([app.graph.nodes.find(node => node.type === 'ToonCrafterSketchGuide')])"
    )
    newest.get_by_test_id("info-button").click()
    newest.get_by_test_id("panel-tab-parameters").click()
    fields = newest.get_by_test_id("section-widgets-list")
    fields.get_by_text("end_percent").wait_for()
    assert not fields.get_by_text("timeline").count()


def test_the_newest_page_finds_us_by_what_animators_look_for(newest: Page) -> None:
    written, offers = open_search(newest)
    found = offers.filter(has_text="ToonCrafter")
    for word in WORDS:
        written.fill("no node is called so")
        found.first.wait_for(state="hidden")
        written.fill(word)
        found.first.wait_for()
    newest.keyboard.press("Escape")


def test_the_newest_page_tells_templates_the_simplest_first(newest: Page, pictures: Path) -> None:
    cards = open_templates(newest, PACK_NAME)
    newest.screenshot(path=pictures / "newest_page_templates.png")
    shown = cards.evaluate_all("cards => cards.map(card => card.dataset.testid.replace('template-workflow-', ''))")
    assert len(shown) > 3
    assert shown == [example.name for example in examples()][: len(shown)]
    lines = json.loads((ROOT / "locales" / "en" / "main.json").read_text())["toonCrafterTemplates"]
    assert cards.evaluate_all(BELOW_NAMES) == [[f'"{lines[name]}"'] for name in shown]
