"""`python -m tooncrafter_core.training NAME --config FILE`."""

from __future__ import annotations

import argparse
import logging
import math
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from accelerate import Accelerator
from accelerate.utils import AutocastKwargs, set_seed

from .run.engine import Run
from .run.settings import (
    AutoencoderSettings,
    BaseSettings,
    DecoderSettings,
    DistilSettings,
    RectifySettings,
    RunSettings,
    SketchSettings,
    read_settings,
)
from .run.task import Task
from .tasks import autoencoder, decoder, denoiser, distil, sketch

log = logging.getLogger("tooncrafter.training")


class Training(NamedTuple):
    """A training by its name on the command line."""

    settings: type[RunSettings]
    make_task: Callable[[Any, Accelerator], Task]
    what: str


TRAININGS = {
    "autoencoder": Training(AutoencoderSettings, autoencoder.make_task, "a new model's image autoencoder"),
    "base": Training(BaseSettings, denoiser.make_task, "an interpolation prior: all layers of the U-Net"),
    "rectify": Training(RectifySettings, denoiser.make_task, "toon rectification: spatial layers and projector"),
    "decoder": Training(DecoderSettings, decoder.make_task, "the dual-reference 3D decoder"),
    "sketch": Training(SketchSettings, sketch.make_task, "the sketch encoder"),
    "distil": Training(DistilSettings, distil.make_task, "a LoRA with which a few steps of one pass do"),
}


def main(arguments: list[str] | None = None) -> int:
    """Run one training; 2 is returned for settings or data that cannot be used, 1 where a file cannot be written."""
    parser = argparse.ArgumentParser(prog="python -m tooncrafter_core.training", description=__doc__)
    names = parser.add_subparsers(dest="name", required=True, metavar="NAME")
    for name, training in TRAININGS.items():
        command = names.add_parser(name, help=training.what)
        command.add_argument("--config", type=Path, required=True, help="settings, a JSON file")
        command.add_argument("--minutes", type=float, default=math.inf, help="stop then; started again, it goes on")
    chosen = parser.parse_args(arguments)
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    training = TRAININGS[chosen.name]
    try:
        settings = read_settings(training.settings, chosen.config)
        # Cast weights that are kept over a step would stay undivided.
        cast = AutocastKwargs(cache_enabled=not settings.sharded)
        accelerator = Accelerator(mixed_precision=settings.precision, kwargs_handlers=[cast])
        set_seed(settings.seed)
        run = Run(training.make_task(settings, accelerator), settings, accelerator)
    except (ValueError, OSError) as error:
        log.error("%s", error)
        return 2
    try:
        log.info("checkpoint: %s", run.go(60 * chosen.minutes))
    except OSError as error:
        log.error("%s", error)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
