"""`python -m tooncrafter_core.training NAME --config FILE`."""

from __future__ import annotations

import argparse
import logging
import math
import sys
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any, NamedTuple

from accelerate import Accelerator
from accelerate.utils import AutocastKwargs, InitProcessGroupKwargs, set_seed

from ..files.whole import check_file
from ..inputs import INTERRUPTED, given_path
from ..memory import LackOfMemoryError, naming_lack
from .run.engine import CHECKPOINT, STATE, STRIPS, Run
from .run.journal import METRICS
from .run.task import Task
from .settings.run import RunSettings, read_settings
from .settings.tasks import (
    AutoencoderSettings,
    BaseSettings,
    DecoderSettings,
    DistilSettings,
    JointSettings,
    RectifySettings,
    SketchSettings,
)
from .tasks import autoencoder, decoder, denoiser, distil, joint, sketch

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
    "joint": Training(JointSettings, joint.make_task, "denoiser and sketch encoder together"),
    "distil": Training(DistilSettings, distil.make_task, "a LoRA with which a few steps of one pass do"),
}

_LONGEST_WAIT = timedelta(days=1)
"""Of processes for one another, as for one that encodes its share of the segments; PyTorch's own, 10 minutes on GPUs,
would end the run. One that fails is not waited for: the launcher ends all."""

_LESS_MEMORY = "Settings that need less: batch, width, height, frames, the model's sizes, gradient_checkpointing."


def main(arguments: list[str] | None = None) -> int:
    """Run one training; 2 is returned for settings or data that cannot be used, 1 where it fails on its way: a file
    cannot be written, memory is short, or its numbers are no longer finite; 130 after Ctrl-C."""
    parser = argparse.ArgumentParser(prog="python -m tooncrafter_core.training", description=__doc__)
    names = parser.add_subparsers(dest="name", required=True, metavar="NAME")
    for name, training in TRAININGS.items():
        command = names.add_parser(name, help=training.what)
        command.add_argument("--config", type=given_path, required=True, help="settings, a JSON file")
        command.add_argument("--minutes", type=float, default=math.inf, help="stop then; started again, it goes on")
    chosen = parser.parse_args(arguments)
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    training = TRAININGS[chosen.name]
    try:
        if not chosen.minutes > 0:
            raise ValueError(f"--minutes is {chosen.minutes:g}; expected more than 0, or nothing for no limit")
        settings = read_settings(training.settings, chosen.config)
        _check_output(settings.output)
        # Cast weights that are kept over a step would stay undivided.
        cast = AutocastKwargs(cache_enabled=not settings.sharded)
        wait = InitProcessGroupKwargs(timeout=_LONGEST_WAIT)
        accelerator = Accelerator(mixed_precision=settings.precision, kwargs_handlers=[cast, wait])
        set_seed(settings.seed)
        with naming_lack("Making the models and reading the clips"):
            run = Run(training.make_task(settings, accelerator), settings, accelerator)
    except (ValueError, OSError) as error:
        log.error("%s", error)
        return 2
    except LackOfMemoryError as error:
        log.error("%s %s", error, _LESS_MEMORY)
        return 1
    except KeyboardInterrupt:
        log.error("interrupted before a step; what was there before is unchanged")
        return INTERRUPTED
    return _go(run, 60 * chosen.minutes)


def _check_output(folder: Path) -> None:
    """Raise ValueError unless a run can write its files there, as far as can be told before."""
    for name in (CHECKPOINT, STATE, METRICS, f"{STRIPS}/a_strip.png"):
        check_file(folder / name)


def _go(run: Run, seconds: float) -> int:
    try:
        with naming_lack("Training"):
            log.info("checkpoint: %s", run.go(seconds))
    except (ValueError, OSError) as error:
        log.error("%s", error)
        return 1
    except LackOfMemoryError as error:
        log.error("%s %s", error, _LESS_MEMORY)
        return 1
    except KeyboardInterrupt:
        log.error("interrupted after step %d; started again, it goes on from its last state", run.step)
        return INTERRUPTED
    return 0


if __name__ == "__main__":
    sys.exit(main())
