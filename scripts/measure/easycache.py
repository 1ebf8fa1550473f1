"""What ComfyUI's EasyCache saves and costs with the bundled model: U-Net steps skipped, distance and PSNR.

    python scripts/measure/easycache.py --scenes 4

KSampler (euler, simple) draws 20 steps of the drawn scenes of `steps.py`, with EasyCache at some thresholds and
from 15 to 95 % of the sampling, as the node proposes. Numbers are means over frames 1 to 14 and the scenes.
"""

from __future__ import annotations

import argparse
import re
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from statistics import mean

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # so that the script runs from anywhere
sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

import torch
from comfy_harness.prompts import Prompt, changed, node
from comfy_harness.server import ComfyServer

from measure.steps import FRAMES, SCENES_SEED, Setting, hashes, measured, upload
from tooncrafter_core.evaluation.command import count, exit_status
from tooncrafter_core.evaluation.ladder import SET
from tooncrafter_core.evaluation.report.summary import table
from tooncrafter_core.evaluation.scenes import picture, scenes
from tooncrafter_core.training.losses.perceptual import load_perceptual

STEPS = 20


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add("--scenes", type=count, default=4, help="(default %(default)s)")
    add("--thresholds", type=float, nargs="+", default=[0.0, 0.05, 0.2, 0.5, 1.0], help="(default %(default)s)")
    add("--perceptual", type=Path, default=SET / "perceptual" / "alex_shift_tolerant.pth", help="(default %(default)s)")
    options = parser.parse_args()
    return exit_status(lambda: measure(options))


def measure(options: argparse.Namespace) -> str:
    """The table, of all thresholds."""
    distance = load_perceptual(options.perceptual)
    rows: dict[float, list[tuple[int, float, float]]] = {threshold: [] for threshold in options.thresholds}
    with tempfile.TemporaryDirectory() as folder, ComfyServer() as server:
        for number, scene in enumerate(scenes(options.scenes, SCENES_SEED)):
            truth = torch.stack([picture(scene, frame / (FRAMES - 1)) for frame in range(FRAMES)])
            keyframes = [upload(server, Path(folder) / f"{number}_{end}.png", truth[end]) for end in (0, -1)]
            for threshold, found in rows.items():
                values = measured(server, _prompt(keyframes, threshold), truth, distance)
                found.append((_skipped(server) if threshold else 0, values["distance"], values["psnr"]))
    about = f"SHA-256 {hashes('as it is')}, {STEPS} steps, {options.scenes} scenes"
    title = ["reuse_threshold", "steps skipped", "perceptual distance", "PSNR, dB"]
    return f"{about}\n\n{table(title, [_row(threshold, found) for threshold, found in rows.items()])}\n"


def _prompt(keyframes: Sequence[str], threshold: float) -> Prompt:
    """Without the node where nothing may be reused."""
    plain = Setting("as it is", "euler", STEPS).prompt(keyframes)
    if not threshold:
        return plain
    usual = {"start_percent": 0.15, "end_percent": 0.95, "verbose": False}
    cache = node("EasyCache", model=["loader", 0], reuse_threshold=threshold, **usual)
    return changed({**plain, "cache": cache}, "sampler", model=["cache", 0])


def _skipped(server: ComfyServer) -> int:
    """In the last prompt."""
    told = re.findall(rf"EasyCache - skipped (\d+)/{STEPS} steps", server.log_text())
    return int(told[-1])


def _row(threshold: float, found: Sequence[tuple[int, float, float]]) -> list[str]:
    skipped, distance, psnr = (mean(values) for values in zip(*found, strict=True))
    return [f"{threshold:g}" if threshold else "without", f"{skipped:.1f}", f"{distance:.4f}", f"{psnr:.2f}"]


if __name__ == "__main__":
    sys.exit(main())
