"""The model that comes with the nodes: offered first, and drawing real in-betweens on a real server."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from comfy_server import ComfyServer
from PIL import Image
from prompts import BUNDLED_MODEL, BUNDLED_SKETCH_ENCODER, interpolation, with_sketches
from scenes import SIZE, is_at, picture, scenes
from torch import Tensor

from tooncrafter_core.media import read_image

SAMPLE = {"steps": 12, "guidance_scale": 1.0}
ENCODE = {"width": SIZE[0], "height": SIZE[1], "fps": 24}
SCENE = scenes(1, seed=3)[0]


def _upload(server: ComfyServer, picture: Tensor, path: Path) -> str:
    pixels = (picture * 255).round().byte().permute(1, 2, 0).numpy()
    Image.fromarray(pixels).save(path)
    return server.upload(path)


@pytest.fixture(scope="module")
def keyframes(comfy_server: ComfyServer, tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    folder = tmp_path_factory.mktemp("scene")
    return [_upload(comfy_server, picture(SCENE, moment), folder / f"scene_{moment}.png") for moment in (0, 1)]


def _frames(server: ComfyServer, prompt: dict) -> Tensor:
    return torch.stack([read_image(path) for path in server.outputs(server.run(prompt, timeout=300))])


def test_bundled_files_are_the_first_choice(comfy_server: ComfyServer) -> None:
    info = comfy_server.object_info()
    model = info["ToonCrafterLoader"]["input"]["required"]["checkpoint"][1]["options"]
    sketch = info["ToonCrafterSketchEncoderLoader"]["input"]["required"]["sketch_encoder"][1]["options"]
    assert model[0] == BUNDLED_MODEL and "model.ckpt" in model
    assert sketch[0] == BUNDLED_SKETCH_ENCODER and "sketch_encoder.ckpt" in sketch


def test_keyframes_come_back_and_the_ball_moves(comfy_server: ComfyServer, keyframes: list[str]) -> None:
    frames = _frames(comfy_server, interpolation(keyframes, BUNDLED_MODEL, encode=ENCODE, sample=SAMPLE))
    assert frames.shape == (16, 3, SIZE[1], SIZE[0])
    for frame, moment in ((frames[0], 0), (frames[-1], 1)):
        assert (frame - picture(SCENE, moment)).square().mean() < 10**-2.4  # 24 dB
    assert is_at(SCENE, frames[7], 7 / 15)


def test_a_sketch_changes_its_frame(comfy_server: ComfyServer, keyframes: list[str], tmp_path: Path) -> None:
    plain = interpolation(keyframes, BUNDLED_MODEL, encode=ENCODE, sample=SAMPLE)
    sketch = _upload(comfy_server, picture(SCENE, 0.3), tmp_path / "scene_sketch.png")
    guided = with_sketches(plain, [sketch], "7", BUNDLED_SKETCH_ENCODER, 1.0)
    assert (_frames(comfy_server, guided)[7] - _frames(comfy_server, plain)[7]).abs().mean() > 1e-3
