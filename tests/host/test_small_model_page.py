"""Which nodes the small model is set for when it is chosen in a Loader, and which are left as they are."""

from __future__ import annotations

import json
from typing import Any

import pytest
from comfy_harness.browser import load_workflow, to_api_prompt
from comfy_harness.prompts import BUNDLED_MODEL
from comfy_harness.server import ROOT
from playwright.sync_api import Page

pytestmark = pytest.mark.both_pages

FILM = {"width": 512, "height": 320, "steps": 50}
SMALL = {"width": 128, "height": 64, "steps": 2}
CHOOSE = """values => {
    const shown = app.graph.nodes.flatMap(node => (node.widgets ?? []).map(
        widget => [widget._overlay?.widgetName ?? widget.name, widget, node]));
    app.canvas.draw(true, true);
    for (const [name, value] of Object.entries(values)) {
        const [, widget, node] = shown.find(([other]) => other === name);
        widget.value = value;
        widget.callback?.(value, app.canvas, node);
    }
}"""
"""Widgets on the graph in view, as the page writes what a user chooses."""
SAMPLE_AGAIN = """() => {
    const add = type => { const made = LiteGraph.createNode(type); app.graph.add(made); return made; };
    const connect = (from, output, to, input) => {
        const slot = (slots, name) => slots.findIndex(slot => slot.name === name);
        from.connect(output, to, slot(to.inputs, input));
    };
    const find = type => app.graph.nodes.find(node => node.type === type);
    const [encode, other, again, text] = ['VAEEncode', 'CheckpointLoaderSimple', 'KSampler', 'CLIPTextEncode'].map(add);
    connect(find('ToonCrafterDualRefDecode'), 0, encode, 'pixels');
    connect(find('ToonCrafterLoader'), 3, encode, 'vae');
    connect(find('ToonCrafterLoader'), 1, text, 'clip');
    connect(other, 0, again, 'model');
    connect(encode, 0, again, 'latent_image');
    connect(text, 0, again, 'positive');
}"""
"""Stable Diffusion behind the decoder, with our VAE and our text tower."""
FEED_STEPS = """() => {
    const steps = LiteGraph.createNode('PrimitiveInt');
    app.graph.add(steps);
    steps.widgets[0].value = 30;
    const sampler = app.graph.nodes.find(node => node.type === 'ToonCrafterSampler');
    steps.connect(0, sampler, sampler.inputs.findIndex(input => input.name === 'steps'));
}"""
VUE_NODES = "on => app.extensionManager.setting.set('Comfy.VueNodes.Enabled', on)"
SHOW_LOADER = """() => {
    const loader = app.graph.nodes.find(node => node.type === 'ToonCrafterLoader');
    app.canvas.ds.scale = 1;
    app.canvas.centerOnNode(loader);
    app.canvas.draw(true, true);
    return loader.id;
}"""
FEED_MENU = """value => {
    const primitive = LiteGraph.createNode('PrimitiveNode');
    app.graph.add(primitive);
    const loader = app.graph.nodes.find(node => node.type === 'ToonCrafterLoader');
    primitive.connect(0, loader, loader.inputs.findIndex(input => input.name === 'checkpoint'));
    primitive.widgets[0].value = value;
    app.canvas.draw(true, true);
}"""
WRITTEN = """type => Object.fromEntries(
    app.graph.nodes.find(node => node.type === type).widgets.map(({name, value}) => [name, value]))"""


def load(page: Page, name: str) -> None:
    load_workflow(page, json.loads((ROOT / "workflows" / f"{name}.json").read_text()))


def choose(page: Page, **values: Any) -> None:
    page.evaluate(CHOOSE, values)


def test_what_samples_with_another_model_stays(page: Page) -> None:
    load(page, "published_weights")
    page.evaluate(SAMPLE_AGAIN)
    choose(page, checkpoint=BUNDLED_MODEL)
    assert page.evaluate(WRITTEN, "ToonCrafterSampler")["steps"] == SMALL["steps"]
    again = page.evaluate(WRITTEN, "KSampler")
    assert (again["steps"], again["cfg"]) == (20, 8)


def test_what_samples_with_a_patched_model_is_set(page: Page) -> None:
    load(page, "stock_ksampler")
    choose(page, checkpoint=BUNDLED_MODEL)
    sampler = page.evaluate(WRITTEN, "KSampler")
    assert (sampler["steps"], sampler["cfg"]) == (SMALL["steps"], 1)
    assert page.evaluate(WRITTEN, "ToonCrafterEncodeKeyframes").items() >= {"width": 128, "height": 64}.items()


def test_a_field_that_a_wire_feeds_stays(page: Page) -> None:
    load(page, "published_weights")
    page.evaluate(FEED_STEPS)
    choose(page, checkpoint=BUNDLED_MODEL)
    sampler = page.evaluate(WRITTEN, "ToonCrafterSampler")
    assert (sampler["steps"], sampler["guidance_scale"]) == (50, 1)


def test_vue_nodes_tell_a_choice_too(page: Page) -> None:
    """Those of the pinned page keep what a menu calls from when its node was made."""
    saved = json.loads((ROOT / "workflows" / "quick_start.json").read_text())
    values = {node["type"]: node["widgets_values"] for node in saved["nodes"] if "widgets_values" in node}
    values["ToonCrafterLoader"][0] = "model.ckpt"
    values["ToonCrafterEncodeKeyframes"][:2] = [512, 320]
    page.evaluate(VUE_NODES, True)
    try:
        load_workflow(page, saved)
        page.keyboard.press("Escape")  # of what tells which models are missing
        number = page.evaluate(SHOW_LOADER)
        page.locator(f"[data-node-id='{number}'] [role=combobox]").first.click(force=True)
        page.locator("[role=option]", has_text=BUNDLED_MODEL).last.click()
        page.wait_for_function(
            "app.graph.nodes.some(node => node.type === 'ToonCrafterEncodeKeyframes' && "
            "node.widgets.some(({name, value}) => name === 'width' && value === 128))"
        )
    finally:
        page.evaluate(VUE_NODES, False)


def test_a_menu_that_a_wire_feeds_sets_nothing_when_it_runs(page: Page) -> None:
    """A Primitive writes its choice into the menu each time that the graph is queued."""
    load(page, "published_weights")
    page.evaluate(FEED_MENU, BUNDLED_MODEL)
    assert sent(page) == {"checkpoint": BUNDLED_MODEL, **FILM}


def test_a_graph_in_the_form_of_the_api_keeps_its_settings(page: Page) -> None:
    """Its nodes are written by their numbers; here the Loader is the last, when all are connected."""
    load(page, "published_weights")
    prompt = to_api_prompt(page)
    loader = next(number for number, made in prompt.items() if made["class_type"] == "ToonCrafterLoader")
    prompt[loader]["inputs"]["checkpoint"] = BUNDLED_MODEL
    moved = json.dumps(prompt).replace(f'"{loader}": {{', '"999": {').replace(f'["{loader}",', '["999",')
    page.evaluate("prompt => app.loadApiJson(prompt, 'film')", json.loads(moved))
    assert sent(page) == {"checkpoint": BUNDLED_MODEL, **FILM}


def test_all_in_a_subgraph_is_set(page: Page) -> None:
    """From the menu that the node around it shows, as the blueprints do."""
    load(page, "one_node")
    choose(page, checkpoint="model.ckpt", **FILM)
    assert sent(page) == {"checkpoint": "model.ckpt", **FILM}
    choose(page, checkpoint=BUNDLED_MODEL)
    assert sent(page) == {"checkpoint": BUNDLED_MODEL, **SMALL}


def sent(page: Page) -> dict[str, Any]:
    """Of what the page would queue."""
    inputs = [made["inputs"] for made in to_api_prompt(page).values()]
    names = "checkpoint", "width", "height", "steps"
    return {name: value for made in inputs for name, value in made.items() if name in names}
