"""A ComfyUI with checkpoints in it, and the pictures the tests of the graph start from."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from comfy_harness import failing_allocations
from comfy_harness.browser import find_chromium, open_page
from comfy_harness.main import REFUSED
from comfy_harness.server import ROOT, ComfyServer
from comfy_harness.stand_ins import controlnet_tensors, write_stand_ins
from playwright.sync_api import Page
from random_checkpoint import DYNAMICRAFTER, SIXTEEN, random_tensors, write_random_checkpoints
from safetensors.torch import save_file

from tooncrafter_core.files.working_settings import WorkingSettings
from tooncrafter_core.training.run.export import write_checkpoint

SHARED_KEYFRAMES = ROOT.parent / "shared" / "keyframes"
DRAWN = ROOT / "assets" / "keyframes"


@pytest.fixture(scope="session")
def checkpoints(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A small complete checkpoint and its sketch encoder, with random weights."""
    return write_random_checkpoints(tmp_path_factory.mktemp("checkpoints"))


@pytest.fixture(scope="session")
def dynamicrafter(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small DynamiCrafter interpolation checkpoint with random weights and the older name of one part."""
    path = tmp_path_factory.mktemp("dynamicrafter") / "dynamicrafter.ckpt"
    tensors = random_tensors(DYNAMICRAFTER, seed=2)
    torch.save({name.replace("fps_embedding", "framestride_embed"): t for name, t in tensors.items()}, path)
    return path


@pytest.fixture(scope="session")
def comfy_server(
    checkpoints: tuple[Path, Path], dynamicrafter: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[ComfyServer]:
    """A running ComfyUI with this project and good checkpoints, each also in the wrong folder, and bad ones."""
    model, sketch = checkpoints
    folder = tmp_path_factory.mktemp("others")
    damaged, pruned = folder / "damaged.safetensors", folder / "pruned.ckpt"
    damaged.write_bytes(b"not a checkpoint")
    other = folder / "other.safetensors"
    save_file(controlnet_tensors(strength=1.0), other)
    tensors = torch.load(model, weights_only=True)["state_dict"]
    torch.save({n: t for n, t in tensors.items() if not n.startswith(("cond_stage_model.", "embedder."))}, pruned)
    sixteen = folder / "sixteen.safetensors"
    working = WorkingSettings(128, 64, 16, 24, 12, 1.0, 1.0, preview=((0.1, 0.2, 0.3),) * 16)
    write_checkpoint(random_tensors(SIXTEEN), sixteen, working)
    models = {
        "checkpoints/model.ckpt": model,
        "checkpoints/sixteen.safetensors": sixteen,
        "checkpoints/sketch_encoder.ckpt": sketch,
        "checkpoints/damaged.safetensors": damaged,
        "checkpoints/pruned.ckpt": pruned,
        "checkpoints/dynamicrafter.ckpt": dynamicrafter,
        "controlnet/sketch_encoder.ckpt": sketch,
        "controlnet/model.ckpt": model,
        "controlnet/other.safetensors": other,
        **write_stand_ins(folder),
    }
    elsewhere = folder / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "elsewhere.ckpt").symlink_to(model)
    paths = folder / "extra_model_paths.yaml"
    paths.write_text(f"other_place:\n  base_path: {elsewhere}\n  checkpoints: .\n  controlnet: .\n")
    arguments = ("--cpu", "--preview-method", "latent2rgb", "--extra-model-paths-config", str(paths))
    with ComfyServer(models=models, arguments=arguments, nodes=[Path(failing_allocations.__file__)]) as server:
        yield server
        assert REFUSED not in server.log_text(), "something on the server asked for another machine"


@pytest.fixture(scope="session")
def real_keyframes() -> Path:
    """The folder of real cartoon pictures."""
    if not SHARED_KEYFRAMES.is_dir():
        pytest.skip(f"no real keyframes: {SHARED_KEYFRAMES} is absent")
    return SHARED_KEYFRAMES


@pytest.fixture(scope="session")
def drawn(comfy_server: ComfyServer) -> dict[str, str]:
    """The pack's drawings, which it puts into ComfyUI's input folder: first, last, top, sketch_07, ..., sketches."""
    return {path.stem: f"tooncrafter_{path.name}" for path in sorted(DRAWN.iterdir())}


@pytest.fixture(scope="session")
def newest_server() -> Iterator[ComfyServer]:
    """A ComfyUI that shows the newest page."""
    with ComfyServer(environment={"TOONCRAFTER_PAGE": "newest"}) as server:
        yield server


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Tests of the page that are marked `both_pages` run on the newest one too, `newest_page` ones on that alone;
    all do with TOONCRAFTER_PAGE=newest."""
    if "page_server" in metafunc.fixturenames:
        marks = {mark.name for mark in metafunc.definition.iter_markers()}
        pages = ["chosen", "newest"] if "both_pages" in marks else ["newest"] if "newest_page" in marks else ["chosen"]
        chosen = ["chosen"] if os.environ.get("TOONCRAFTER_PAGE") else pages
        metafunc.parametrize("page_server", chosen, indirect=True, scope="module")


@pytest.fixture(scope="module")
def page_server(request: pytest.FixtureRequest) -> ComfyServer:
    """The server of the page."""
    server: ComfyServer = request.getfixturevalue("newest_server" if request.param == "newest" else "comfy_server")
    return server


@pytest.fixture(scope="module")
def page(page_server: ComfyServer) -> Iterator[Page]:
    """ComfyUI's page."""
    if find_chromium() is None:
        pytest.skip("no Chromium is installed")
    with open_page(page_server.url) as opened:
        yield opened


@pytest.fixture(scope="session")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where screenshots are kept to look at: TOONCRAFTER_SCREENSHOTS, or a temporary folder."""
    kept = os.environ.get("TOONCRAFTER_SCREENSHOTS")
    folder = Path(kept).expanduser() if kept else tmp_path_factory.mktemp("screenshots")
    folder.mkdir(parents=True, exist_ok=True)
    return folder
