"""The bundled model on a real server: one drawn scene through the graph, and whether its figure really moves."""

from __future__ import annotations

import torch
from comfy_harness.prompts import BUNDLED_MODEL, BUNDLED_SKETCH_ENCODER, Prompt, interpolation, with_sketches
from comfy_harness.server import ComfyServer
from PIL import Image
from torch import Tensor

from tooncrafter_core.evaluation.metrics import psnr
from tooncrafter_core.evaluation.scenes import SIZE, is_at, picture, scenes
from tooncrafter_core.sketches.lines import extract_lines

SCENE = scenes(1, seed=3)[0]
FRAMES, MIDDLE = 16, 7
STEPS = 2
ENCODE = {"width": SIZE[0], "height": SIZE[1], "fps": 24}
SAMPLE = {"steps": STEPS, "guidance_scale": 1.0, "clean_end": True}
SKETCHED = 0.25
"""The moment that the sketch for the middle frame shows: not where the figure would be without it."""
SKETCH_STRENGTH = 1.5


def upload(server: ComfyServer, images: Tensor, name: str) -> str:
    """Put pictures (n, 3, H, W) in [0, 1] into ComfyUI's input folder, several as an animation."""
    pictures = [Image.fromarray((i * 255).round().byte().permute(1, 2, 0).numpy()) for i in images]
    path = server.base / "temp" / (f"{name}.webp" if len(pictures) > 1 else f"{name}.png")
    pictures[0].save(
        path, **({"save_all": True, "append_images": pictures[1:], "lossless": True} if pictures[1:] else {})
    )
    return server.upload(path)


def scene_graph(server: ComfyServer) -> Prompt:
    """The whole graph, saving 16 frames."""
    keyframes = [upload(server, picture(SCENE, moment)[None], f"scene_{moment}") for moment in (0, 1)]
    return interpolation(keyframes, BUNDLED_MODEL, encode=ENCODE, sample=SAMPLE, two_pass=False)


def sketched_graph(server: ComfyServer) -> Prompt:
    """The same with a sketch for the middle frame."""
    return with_sketches(
        scene_graph(server), [scene_sketch(server)], str(MIDDLE), BUNDLED_SKETCH_ENCODER, SKETCH_STRENGTH
    )


def scene_sketch(server: ComfyServer) -> str:
    lines = 1 - extract_lines(picture(SCENE, SKETCHED)[None])
    return upload(server, lines.expand(-1, 3, -1, -1), "scene_sketch")


def true_frames(count: int = FRAMES) -> Tensor:
    """The scene itself: (count, 3, HEIGHT, WIDTH)."""
    return torch.stack([picture(SCENE, frame / (count - 1)) for frame in range(count)])


def assert_in_betweens(frames: Tensor) -> None:
    """The ends are the keyframes, to 24 dB of PSNR, and the figure is on its path in the middle."""
    assert frames.shape == (FRAMES, 3, SIZE[1], SIZE[0])
    for frame, moment in ((frames[0], 0), (frames[-1], 1)):
        assert psnr(frame[None], picture(SCENE, moment)[None]) > 24
    assert is_at(SCENE, frames[MIDDLE], MIDDLE / (FRAMES - 1))
