"""The demo: two drawings go through the graph on a real ComfyUI server, with and without a sketch.

There are no published weights to ship, so the model is a small one with random weights, of the published layout. Its
frames are noise with a trace of the keyframes: they show that every stage works, not what ToonCrafter can do. With
`--checkpoint` (and `--sketch-encoder`) the same demo runs a real one.
"""

from __future__ import annotations

import argparse
import logging
import shutil
import sys
from pathlib import Path

import torch
from comfy_server import ROOT, ComfyServer
from prompts import Prompt, interpolation, with_sketches
from random_checkpoint import write_random_checkpoints

from tooncrafter_core.media import read_image, write_contact_sheet, write_frames

KEYFRAMES = ROOT / "assets" / "keyframes"
DRAWN = [KEYFRAMES / "first.png", KEYFRAMES / "last.png"]
SKETCH, SKETCH_FRAME = KEYFRAMES / "sketch_07.png", "7"
FRAME_RATE = 10

log = logging.getLogger("demo")


def main() -> None:
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stdout)
    options = _options()
    checkpoint, sketch_encoder = _models(options)
    models = {f"checkpoints/{checkpoint.name}": checkpoint}
    if sketch_encoder:
        models[f"controlnet/{sketch_encoder.name}"] = sketch_encoder
    with ComfyServer(models=models, arguments=() if torch.cuda.is_available() else ("--cpu",)) as server:
        names = [server.upload(path) for path in options.keyframes]
        prompt = interpolation(
            names,
            checkpoint.name,
            encode={"width": options.width, "height": options.height},
            sample={"steps": options.steps},
        )
        _run(server, prompt, options.output / "interpolation")
        if sketch_encoder and options.keyframes == DRAWN:  # the sketch is of these drawings
            sketched = with_sketches(prompt, [server.upload(SKETCH)], SKETCH_FRAME, sketch_encoder.name)
            _run(server, sketched, options.output / "with_sketch")


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("keyframes", nargs="*", type=Path, default=DRAWN, help="two or more pictures")
    parser.add_argument("--checkpoint", type=Path, help="a complete ToonCrafter checkpoint")
    parser.add_argument("--sketch-encoder", type=Path, help="a ToonCrafter sketch encoder, for the shipped sketch")
    parser.add_argument("--steps", type=int, default=10, help="sampling steps (published: 50)")
    parser.add_argument("--width", type=int, default=256, help="pixels (published: 512)")
    parser.add_argument("--height", type=int, default=160, help="pixels (published: 320)")
    parser.add_argument("--output", type=Path, default=ROOT / "output" / "demo", help="folder for the results")
    return parser.parse_args()


def _models(options: argparse.Namespace) -> tuple[Path, Path | None]:
    if options.checkpoint:
        return options.checkpoint, options.sketch_encoder
    log.info("No --checkpoint given: using a small model with random weights, so the frames will be noise.")
    return write_random_checkpoints(options.output / "models")


def _run(server: ComfyServer, prompt: Prompt, folder: Path) -> None:
    log.info("Sampling %s ...", folder.name.replace("_", " "))
    files = server.outputs(server.run(prompt, timeout=3600))
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    frames = torch.stack([read_image(shutil.copy(file, folder / f"{i:04}.png")) for i, file in enumerate(files)])
    write_frames(frames, folder.with_suffix(".webp"), FRAME_RATE)
    write_contact_sheet(frames, folder.with_suffix(".png"))
    log.info("%d frames: %s", len(frames), folder)
    log.info("  as an animation: %s", folder.with_suffix(".webp"))
    log.info("  as one picture:  %s", folder.with_suffix(".png"))


if __name__ == "__main__":
    main()
