"""The graph on the server gives what the core's `interpolate` gives: same seed, same weights, same result."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from comfy_server import ComfyServer
from einops import rearrange
from prompts import interpolation, node, with_sketches
from safetensors.torch import load_file
from torch import Tensor

from tooncrafter_core import Settings, ToonCrafter, interpolate
from tooncrafter_core.config import LATENT_SCALE
from tooncrafter_core.media import read_image

DRAWN = Path(__file__).resolve().parents[2] / "assets" / "keyframes"
TOLERANCE = 3e-4
STEPS, SEED, TEXT = 5, 7, "an anime scene"


def _run_core(checkpoints: tuple[Path, Path], names: list[str], sketch: bool, frames: int) -> tuple[Tensor, Tensor]:
    """Final latents with the frames as the batch, and decoded frames."""
    latents: list[Tensor] = []
    model = ToonCrafter.load(*checkpoints)
    settings = Settings(prompt=TEXT, steps=STEPS, seed=SEED, frames=frames)
    keyframes = torch.stack([read_image(DRAWN / f"{name}.png") for name in names])
    sketches = {7: read_image(DRAWN / "sketch_07.png")} if sketch else {}
    decoded = interpolate(
        model, keyframes, 128, 64, "crop", settings, sketches, callback=lambda step: latents.append(step.latents)
    )
    return rearrange(latents[-1], "s c t h w -> (s t) c h w") / LATENT_SCALE, decoded


def _run_host(
    server: ComfyServer, drawn: dict[str, str], names: list[str], sketch: bool, frames: int
) -> tuple[Tensor, Tensor]:
    prompt = interpolation(
        [drawn[name] for name in names],
        encode={"width": 128, "height": 64, "frames": frames},
        sample={"steps": STEPS, "seed": SEED},
        text=TEXT,
    )
    if sketch:
        prompt = with_sketches(prompt, [drawn["sketch_07"]], "7")
    prompt["latents"] = node("SaveLatent", samples=["sampler", 0], filename_prefix="parity")
    files = server.outputs(server.run(prompt))
    latents = [load_file(file)["latent_tensor"] for file in files if file.suffix == ".latent"]
    return latents[0], torch.stack([read_image(file) for file in files if file.suffix == ".png"])


@pytest.mark.parametrize(
    ("names", "sketch", "frames"),
    [
        pytest.param(["first", "last"], False, 16, id="plain"),
        pytest.param(["first", "last"], True, 16, id="sketch"),
        pytest.param(["first", "last", "first"], True, 6, id="two-segments-of-6"),
    ],
)
def test_sampler_node_equals_interpolate(
    comfy_server: ComfyServer,
    checkpoints: tuple[Path, Path],
    drawn: dict[str, str],
    names: list[str],
    sketch: bool,
    frames: int,
) -> None:
    latents, decoded = _run_core(checkpoints, names, sketch, frames)
    host_latents, host_decoded = _run_host(comfy_server, drawn, names, sketch, frames)
    error = ((host_latents - latents).norm() / latents.norm()).item()
    assert error <= TOLERANCE, f"relative error of the latents {error:.1e}"
    assert (host_decoded - decoded).abs().max() <= 1.5 / 255
