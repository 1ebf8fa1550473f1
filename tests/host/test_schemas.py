"""Every node is there, and tells a user of the page all about itself."""

from __future__ import annotations

import pytest
from comfy_harness.server import ROOT, ComfyServer

NODES = {
    "ToonCrafterLoader": ["MODEL", "CLIP", "CLIP_VISION", "VAE"],
    "ToonCrafterSketchEncoderLoader": ["CONTROL_NET"],
    "ToonCrafterEncodeKeyframes": ["CONDITIONING", "CONDITIONING", "LATENT", "TOONCRAFTER_REFERENCES"],
    "ToonCrafterLoadPictures": ["IMAGE"],
    "ToonCrafterExtractSketch": ["IMAGE", "STRING"],
    "ToonCrafterSketchGuide": ["CONDITIONING", "CONDITIONING", "IMAGE"],
    "ToonCrafterSampler": ["LATENT"],
    "ToonCrafterDualRefDecode": ["IMAGE"],
    "ToonCrafterSeeds": ["INT"],
    "ToonCrafterSeedSheet": ["IMAGE"],
    "ToonCrafterPickSeed": ["LATENT"],
    "ToonCrafterShotList": ["TOONCRAFTER_SHOTS", "INT"],
    "ToonCrafterTakeShot": [
        *("IMAGE", "STRING", "INT", "INT", "INT", "BOOLEAN", "STRING", "STRING"),
        *("INT", "INT", "FLOAT", "IMAGE", "STRING", "STRING", "STRING"),
    ],
    "ToonCrafterMatchColours": ["IMAGE"],
    "ToonCrafterMatte": ["IMAGE", "MASK"],
    "ToonCrafterRetime": ["IMAGE", "LATENT"],
    "ToonCrafterHoldFrames": ["IMAGE", "LATENT"],
    "ToonCrafterTrimKeyframes": ["IMAGE", "LATENT"],
    "ToonCrafterPingPong": ["IMAGE", "LATENT"],
    "ToonCrafterDropDuplicates": ["IMAGE"],
    "ToonCrafterContactSheet": ["IMAGE"],
    "ToonCrafterOnionSkin": ["IMAGE"],
    "ToonCrafterSaveGif": [],
}
PUBLISHED = {
    "ToonCrafterEncodeKeyframes": {"width": 512, "height": 320, "frames": "16", "fps": 10},
    "ToonCrafterSketchGuide": {"strength": 0.6, "start_percent": 0.0, "end_percent": 1.0},
    "ToonCrafterSampler": {
        "steps": 50,
        "guidance_scale": 7.5,
        "guidance_rescale": 0.7,
        "eta": 1.0,
        "denoise": 1.0,
        "guidance_from": 0.0,
        "guidance_to": 1.0,
        "clean_end": False,
    },
    "ToonCrafterDualRefDecode": {"two_pass": True},
}


@pytest.fixture(scope="module")
def ours(comfy_server: ComfyServer) -> dict[str, dict]:
    return {name: info for name, info in comfy_server.object_info().items() if name.startswith("ToonCrafter")}


def _inputs(info: dict) -> dict[str, list]:
    return {**info["input"].get("required", {}), **info["input"].get("optional", {})}


def test_every_node_is_loaded(ours: dict[str, dict]) -> None:
    assert {name: info["output"] for name, info in ours.items()} == NODES


@pytest.mark.parametrize("name", NODES)
def test_node_explains_itself(ours: dict[str, dict], name: str) -> None:
    info = ours[name]
    assert info["category"] in ("ToonCrafter", "ToonCrafter/frames")
    assert info["description"]
    assert all(options[1].get("tooltip") for options in _inputs(info).values())
    assert all(info["output_tooltips"])
    assert len(info["output_tooltips"]) == len(info["output"])


@pytest.mark.parametrize("name", NODES)
def test_node_has_a_help_page(ours: dict[str, dict], name: str) -> None:
    """Where ComfyUI's help panel looks for it, with a picture, a recipe and every input by its name."""
    page = (ROOT / "web" / "docs" / f"{name}.md").read_text()
    assert "](pictures/" in page.partition("\n## Recipe\n")[0]
    assert "\n## Recipe\n" in page
    missing = [key for key in _inputs(ours[name]) if f"`{key}`" not in page.partition("\n## Inputs\n")[2]]
    assert not missing, f"web/docs/{name}.md does not name: {', '.join(missing)}"


@pytest.fixture(scope="module")
def french(comfy_server: ComfyServer) -> dict[str, dict]:
    """The French of all nodes, as ComfyUI reads it for the page."""
    texts: dict[str, dict] = comfy_server.get_json("/i18n")["fr"]["nodeDefs"]
    return texts


@pytest.mark.parametrize("name", NODES)
def test_node_is_translated(ours: dict[str, dict], french: dict[str, dict], name: str) -> None:
    """Every name and tooltip, and nothing that the node does not have."""
    info = ours[name]
    outputs = [str(index) for index in range(len(info["output"]))]
    slots = [f"inputs.{key}" for key in _inputs(info)] + [f"outputs.{index}" for index in outputs]
    wanted = {"display_name", "description", *(f"{slot}.{part}" for slot in slots for part in ("name", "tooltip"))}
    found = _filled(french.get(name, {}))
    assert found == wanted, (
        f"locales/fr/nodeDefs.json, {name}: missing {sorted(wanted - found)}, of no use {sorted(found - wanted)}"
    )


def _filled(texts: dict | str, path: str = "") -> set[str]:
    """The paths of all texts that are not empty."""
    if isinstance(texts, str):
        return {path} if texts else set()
    return {found for key, value in texts.items() for found in _filled(value, f"{path}.{key}" if path else key)}


@pytest.mark.parametrize("name", NODES)
def test_numbers_have_ranges(ours: dict[str, dict], name: str) -> None:
    for _, options in ((kind, options) for kind, options in _inputs(ours[name]).values() if kind in ("INT", "FLOAT")):
        if not options.get("forceInput"):
            assert options["min"] <= options["default"] <= options["max"]


@pytest.mark.parametrize("name", PUBLISHED)
def test_defaults_are_the_published_settings(ours: dict[str, dict], name: str) -> None:
    inputs = _inputs(ours[name])
    assert {key: inputs[key][1]["default"] for key in PUBLISHED[name]} == PUBLISHED[name]


@pytest.mark.parametrize(
    ("name", "widget"), [("ToonCrafterLoader", "checkpoint"), ("ToonCrafterSketchEncoderLoader", "sketch_encoder")]
)
def test_loaders_list_their_folders_and_extra_paths(ours: dict[str, dict], name: str, widget: str) -> None:
    kind, options = _inputs(ours[name])[widget]
    listed = options["options"] if kind == "COMBO" else kind
    assert {"sketch_encoder.ckpt", "model.ckpt", "elsewhere.ckpt"} <= set(listed)
