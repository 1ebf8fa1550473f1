"""Trains the small model from an archive that `tooncrafter_core.data.bundle` has packed.

    python train_bundle.py --minutes 9

Draws the scenes, then takes as many steps as fit, of one training after the other, in bfloat16 on a GPU or on CPUs.
Everything is saved; the next call goes on. Results are in `run/`.
"""

from __future__ import annotations

import argparse
import logging
import multiprocessing
import os
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from accelerate import Accelerator
from accelerate.utils import set_seed

from tooncrafter_core.data.build import DRAWN, write_drawn
from tooncrafter_core.training.__main__ import TRAININGS
from tooncrafter_core.training.clips.manifest import Clip, read_manifest, write_manifest
from tooncrafter_core.training.run.engine import Run
from tooncrafter_core.training.settings.run import read_settings

ROOT = Path(__file__).resolve().parent
STAGES = (
    ("autoencoder", "1_autoencoder.json"),
    ("base", "2_denoiser.json"),
    ("decoder", "3_decoder.json"),
    ("sketch", "4_sketch.json"),
    ("joint", "5_joint.json"),
)
"""Names of trainings and of their settings in `recipe/`."""

log = logging.getLogger("train_bundle")


def main() -> int:
    """Train for so many minutes; 2 is returned for settings or data that cannot be used."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=9.0, help="of this call (default %(default)s)")
    end = time.monotonic() + 60 * parser.parse_args().minutes
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    try:
        draw_scenes(ROOT / "set")
        done = train(ROOT / "recipe", STAGES, end)
    except (ValueError, OSError) as error:
        log.error("%s", error)
        return 2
    log.info("all trainings are done" if done else "out of time: call it again to go on")
    return 0


def draw_scenes(folder: Path) -> None:
    """Complete the data set: the clips that came along, and scenes drawn here, a process to each kind."""
    if (folder / "manifest.jsonl").exists():
        return
    (folder / "clips").mkdir(parents=True, exist_ok=True)
    packed = folder / "packed.jsonl"
    clips: list[Clip] = read_manifest(packed) if packed.exists() else []
    with multiprocessing.get_context("fork").Pool(min(len(DRAWN), os.cpu_count() or 1)) as pool:
        for made in pool.starmap(write_drawn, [(folder, domain, split) for domain, split in DRAWN], chunksize=1):
            clips += made
    write_manifest(folder / "manifest.jsonl", clips)


def train(recipe: Path, stages: Sequence[tuple[str, str]], end: float) -> bool:
    """Go on with each training until the monotonic clock says `end`; whether all of them are done."""
    for name, file in stages:
        training = TRAININGS[name]
        settings = read_settings(training.settings, recipe / file)
        accelerator = Accelerator(mixed_precision=settings.precision)
        set_seed(settings.seed)
        run = Run(training.make_task(settings, accelerator), settings, accelerator)
        if not run.finished:
            log.info("%s: step %d of %d", name, run.step, settings.steps)
            run.go(max(0.0, end - time.monotonic()))
        if not run.finished:
            return False
    return True


if __name__ == "__main__":
    sys.exit(main())
