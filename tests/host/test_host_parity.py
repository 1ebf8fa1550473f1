"""The graph on the server gives what the core's `interpolate` gives: same seed, same weights, same result."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pytest
import torch
from comfy_harness.prompts import BUNDLED_MODEL, BUNDLED_SKETCH_ENCODER, interpolation, node, with_sketches
from comfy_harness.server import ROOT, ComfyServer
from safetensors.torch import load_file
from torch import Tensor

from tooncrafter_core import Settings, ToonCrafter, interpolate
from tooncrafter_core.files.media import read_image
from tooncrafter_core.models.config import LATENT_SCALE

DRAWN = ROOT / "assets" / "keyframes"
TINY = ROOT / "assets" / "tooncrafter-tiny"
TOLERANCE = 3e-4
STEPS, SEED, TEXT = 3, 7, "an anime scene"


@dataclass(frozen=True)
class Case:
    """What is drawn; the sketch is for frame 7."""

    keyframes: tuple[str, ...] = ("first", "last")
    sketch: bool = False
    frames: int | str = 16
    width: int = 72
    height: int = 64
    loop: bool = False
    guided: tuple[float, float] = (0.0, 1.0)
    clean_end: bool = False
    checkpoint: str = "model.ckpt"
    sketch_encoder: str = "sketch_encoder.ckpt"


def _run_core(files: tuple[Path, Path], case: Case) -> tuple[Tensor, Tensor]:
    """Final latents with the frames as the batch, and decoded frames."""
    steps: list[Tensor] = []
    decoded = interpolate(
        ToonCrafter.load(*files, dtype=torch.float32),
        [read_image(DRAWN / f"{name}.png") for name in case.keyframes],
        Settings(
            prompt=TEXT,
            width=case.width,
            height=case.height,
            loop=case.loop,
            steps=STEPS,
            seed=SEED,
            frames=case.frames,
            guidance_from=case.guided[0],
            guidance_to=case.guided[1],
            clean_end=case.clean_end,
        ),
        {7: read_image(DRAWN / "sketch_07.png")} if case.sketch else {},
        callback=lambda step: steps.append(step.latents),
    )
    return _joined(steps[STEPS - 1 :: STEPS]) / LATENT_SCALE, decoded


def _joined(runs: list[Tensor]) -> Tensor:
    """What a segment's runs came to: the only one, or those after the coarse one."""
    return torch.cat([*(run[:-1] for run in runs[1:-1]), runs[-1]])


def _run_host(server: ComfyServer, drawn: dict[str, str], case: Case) -> tuple[Tensor, Tensor]:
    guided = {"guidance_from": case.guided[0], "guidance_to": case.guided[1]}
    prompt = interpolation(
        [drawn[name] for name in case.keyframes],
        case.checkpoint,
        encode={"width": case.width, "height": case.height, "frames": case.frames, "loop": case.loop},
        sample={"steps": STEPS, "seed": SEED, "clean_end": case.clean_end, **guided},
        text=TEXT,
    )
    if case.sketch:
        prompt = with_sketches(prompt, [drawn["sketch_07"]], "7", case.sketch_encoder)
    prompt["latents"] = node("SaveLatent", samples=["sampler", 0], filename_prefix="parity")
    files = server.outputs(server.run(prompt))
    latents = [load_file(file)["latent_tensor"] for file in files if file.suffix == ".latent"]
    return latents[0], torch.stack([read_image(file) for file in files if file.suffix == ".png"])


CASES = {
    "plain": Case(),
    "sketch": Case(sketch=True),
    "segments-of-6-and-4": Case(("first", "last", "first"), sketch=True, frames="6, 4"),
    "coarse-to-fine-to-a-clean-end": Case(sketch=True, frames=24, clean_end=True),
    "loop-of-odd-size": Case(sketch=True, frames=5, width=99, height=67, loop=True),
    "guided-in-the-middle-to-a-clean-end": Case(frames=4, guided=(0.3, 0.7), clean_end=True),
    "dynamicrafter": Case(frames=5, checkpoint="dynamicrafter.ckpt"),
    "bundled": Case(sketch=True, checkpoint=BUNDLED_MODEL, sketch_encoder=BUNDLED_SKETCH_ENCODER),
}


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_sampler_node_equals_interpolate(
    comfy_server: ComfyServer,
    checkpoints: tuple[Path, Path],
    dynamicrafter: Path,
    drawn: dict[str, str],
    case: Case,
) -> None:
    files = {path.name: path for path in (*checkpoints, dynamicrafter)}
    files |= {BUNDLED_MODEL: TINY / "tooncrafter-tiny.safetensors"}
    files |= {BUNDLED_SKETCH_ENCODER: TINY / "tooncrafter-tiny-sketch.safetensors"}
    latents, decoded = _run_core((files[case.checkpoint], files[case.sketch_encoder]), case)
    host_latents, host_decoded = _run_host(comfy_server, drawn, case)
    error = ((host_latents - latents).norm() / latents.norm()).item()
    assert error <= TOLERANCE, f"relative error of the latents {error:.1e}"
    assert decoded.shape[-2:] == (case.height, case.width)
    assert (host_decoded - decoded).abs().max() <= 1.5 / 255
