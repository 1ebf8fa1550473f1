"""The model that comes with the nodes: offered first, and drawing real in-betweens on a real server."""

from __future__ import annotations

import pytest
from bundled import MIDDLE, SCENE, SKETCHED, assert_in_betweens, scene_graph, sketched_graph
from comfy_harness.prompts import BUNDLED_MODEL, BUNDLED_SKETCH_ENCODER
from comfy_harness.server import ComfyServer
from results import frames_of

from tooncrafter_core.evaluation.metrics import psnr
from tooncrafter_core.evaluation.scenes import picture


def test_bundled_files_are_the_first_choice(comfy_server: ComfyServer) -> None:
    info = comfy_server.object_info()
    model = info["ToonCrafterLoader"]["input"]["required"]["checkpoint"][1]["options"]
    sketch = info["ToonCrafterSketchEncoderLoader"]["input"]["required"]["sketch_encoder"][1]["options"]
    assert model[0] == BUNDLED_MODEL and "model.ckpt" in model
    assert sketch[0] == BUNDLED_SKETCH_ENCODER and "sketch_encoder.ckpt" in sketch


@pytest.mark.parametrize("weight_dtype", ["default", "fp16", "bf16", "fp8_e4m3fn"])
def test_keyframes_come_back_and_the_figure_moves(comfy_server: ComfyServer, weight_dtype: str) -> None:
    graph = scene_graph(comfy_server)
    graph["loader"]["inputs"]["weight_dtype"] = weight_dtype
    assert_in_betweens(frames_of(comfy_server, graph))


def test_a_sketch_moves_its_frame_towards_it(comfy_server: ComfyServer) -> None:
    plain, guided = (frames_of(comfy_server, graph(comfy_server))[[MIDDLE]] for graph in (scene_graph, sketched_graph))
    wanted = picture(SCENE, SKETCHED)[None]
    assert psnr(guided, wanted) > psnr(plain, wanted) + 1
