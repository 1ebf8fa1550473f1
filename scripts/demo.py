"""The demo: two drawings go through the graph on a real ComfyUI server, with and without four sketches.

The model is the small one that comes with the nodes, at its own size, 128 x 64 pixels. With `--checkpoint` (and
`--sketch-encoder`) the same demo runs another one; give its size and settings with the other options.
"""

from __future__ import annotations

import argparse
import logging
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # so that the script runs from anywhere

import torch
from comfy_harness.prompts import BUNDLED_MODEL, BUNDLED_SKETCH_ENCODER, Prompt, interpolation, with_sketches
from comfy_harness.server import ROOT, ComfyServer, PromptFailed, ServerFailed

from tooncrafter_core import Settings
from tooncrafter_core.batch.runners.comfyui_prompt import load_pictures
from tooncrafter_core.files.checkpoint import read_checkpoint
from tooncrafter_core.files.media import (
    check_image,
    check_output,
    check_sheet_file,
    read_image,
    write_contact_sheet,
    write_frames,
)
from tooncrafter_core.inputs import INTERRUPTED

KEYFRAMES = ROOT / "assets" / "keyframes"
DRAWN = [KEYFRAMES / "first.png", KEYFRAMES / "last.png"]
SKETCHES = {frame: KEYFRAMES / f"sketch_{frame:02}.png" for frame in (2, 6, 9, 13)}
SHOWN_RATE = 12
"""Frames per second of the animations, half of what the small model is told."""
SKETCH_STRENGTH = 1.0
_RESULTS = ("interpolation", "with_sketch")

log = logging.getLogger("demo")


def main() -> None:
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stdout)
    options = _options()
    try:
        _check(options)
        _draw(options)
    except (ValueError, OSError, PromptFailed, ServerFailed) as error:
        raise SystemExit(f"error: {error}") from None
    except KeyboardInterrupt:
        raise SystemExit(INTERRUPTED) from None


def _check(options: argparse.Namespace) -> None:
    """Raise ValueError or FileNotFoundError for what cannot be drawn or written, before a server starts."""
    if len(options.keyframes) < 2:
        raise ValueError(f"got {len(options.keyframes)} keyframe(s); expected 2 or more, in the order they are shown")
    for picture in options.keyframes:
        check_image(picture)
    for file in filter(None, (options.checkpoint, options.sketch_encoder)):
        read_checkpoint(file)
    sizes = {"width": options.width, "height": options.height, "frame_rate": options.fps}
    Settings(**sizes, steps=options.steps, guidance_scale=options.guidance_scale)  # refuses what none can draw
    for folder in (options.output / name for name in _RESULTS):
        check_output(folder, options.width, options.height)
        check_output(folder.with_suffix(".webp"), options.width, options.height)
        check_sheet_file(folder.with_suffix(".png"))


def _draw(options: argparse.Namespace) -> None:
    given = {"checkpoints": options.checkpoint, "controlnet": options.sketch_encoder}
    models = {f"{folder}/{path.name}": path for folder, path in given.items() if path}
    checkpoint = options.checkpoint.name if options.checkpoint else BUNDLED_MODEL
    with ComfyServer(models=models, arguments=() if torch.cuda.is_available() else ("--cpu",)) as server:
        keyframes = [server.upload(path) for path in options.keyframes]
        prompt = interpolation(
            keyframes[:1],
            checkpoint,
            encode={"width": options.width, "height": options.height, "fps": options.fps},
            sample={name: getattr(options, name) for name in ("steps", "guidance_scale", "clean_end")},
        )
        # Load Image would drop transparency, show 16 bits of grey as white, and Batch Images crop to the first shape.
        prompt |= {"keyframes": load_pictures(keyframes)}
        _run(server, prompt, options.output / _RESULTS[0])
        if options.keyframes == DRAWN and (options.sketch_encoder or not options.checkpoint):
            encoder = options.sketch_encoder.name if options.sketch_encoder else BUNDLED_SKETCH_ENCODER
            drawings, frames = [server.upload(path) for path in SKETCHES.values()], ", ".join(map(str, SKETCHES))
            sketched = with_sketches(prompt, drawings, frames, encoder, SKETCH_STRENGTH)
            _run(server, sketched, options.output / _RESULTS[1])


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("keyframes", nargs="*", type=Path, default=DRAWN, help="two or more pictures")
    parser.add_argument("--checkpoint", type=Path, help="a complete ToonCrafter checkpoint, instead of the small model")
    parser.add_argument("--sketch-encoder", type=Path, help="its sketch encoder, for the shipped sketches")
    parser.add_argument("--steps", type=int, default=2, help="sampling steps (published: 50)")
    parser.add_argument("--guidance-scale", type=float, default=1.0, help="guidance scale (published: 7.5)")
    ends = "remove all noise in the last step (published: no)"
    parser.add_argument("--clean-end", action=argparse.BooleanOptionalAction, default=True, help=ends)
    parser.add_argument("--width", type=int, default=128, help="pixels (published: 512)")
    parser.add_argument("--height", type=int, default=64, help="pixels (published: 320)")
    parser.add_argument("--fps", type=int, default=24, help="frames per second the model is told (published: 10)")
    parser.add_argument("--output", type=Path, default=ROOT / "output" / "demo", help="folder for the results")
    return parser.parse_args()


def _run(server: ComfyServer, prompt: Prompt, folder: Path) -> None:
    log.info("Sampling %s ...", folder.name.replace("_", " "))
    frames = torch.stack([read_image(file) for file in server.outputs(server.run(prompt, timeout=3600))])
    write_frames(frames, folder, SHOWN_RATE)
    write_frames(frames, folder.with_suffix(".webp"), SHOWN_RATE)
    write_contact_sheet(frames, folder.with_suffix(".png"))
    log.info("%d frames: %s", len(frames), folder)
    log.info("  as an animation: %s", folder.with_suffix(".webp"))
    log.info("  as one picture:  %s", folder.with_suffix(".png"))


if __name__ == "__main__":
    main()
