"""Print how close a model's frames come with how many steps, without guidance: as it is, and with distilled LoRAs.

    .venv/bin/python -m tooncrafter_core.evaluation.steps model.safetensors --lora distilled=lora.safetensors

Means over held-out clips of the data set, the same ones that `tooncrafter_core.evaluation.report` takes, over frames 1
to 14; sampled to a clean end, with one decoding pass. What was measured is kept in `--out`: started again, it goes on
where it stopped.
"""

from __future__ import annotations

import argparse
import logging
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from ..data.clip_format import HEIGHT, WIDTH
from ..inputs import given_path
from ..settings import Settings
from ..training.clips.manifest import DOMAINS
from ..training.run.low_rank import read_lora
from .command import count, exit_status, named_path
from .ladder import SET
from .report.measures import Bench
from .report.store import Values
from .report.subject import TinyModel
from .report.summary import means, table
from .report.windows import drawer, held_out_windows

UNDISTILLED = "undistilled"
FEW, MANY = 4, 20
"""Steps of the bars: those that should do, and those they should come close to."""
DISTANCE, DECIBEL = 1.05, 0.5
"""What a few steps may have of the distance of many, and lose of their PSNR."""

Measured = Mapping[str, Mapping[int, Values]]
"""Means by model and number of steps."""

_log = logging.getLogger("steps")


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the tables. A user's mistake is one line on standard error and status 2."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add("model", type=given_path, help="a complete checkpoint")
    add("--lora", nargs="+", default=[], metavar="NAME=FILE", help="LoRAs of the training `distil`")
    add("--data", type=given_path, default=SET / "manifest.jsonl", help="manifest of the clips")
    add("--perceptual", type=given_path, default=SET / "perceptual" / "alex_shift_tolerant.pth")
    add("--domain", choices=DOMAINS, default="drawn", help="(default %(default)s)")
    add("--clips", type=count, default=16, help="held-out clips (default %(default)s)")
    add("--steps", type=count, nargs="+", default=[1, 2, 4, 8, 12, 20], help="(default %(default)s)")
    add("--eta", type=float, default=0.0, help="of the sampler; LoRAs are trained for 0 (default %(default)s)")
    add("--out", type=given_path, default=Path("steps"), help="folder where numbers and frames are kept")
    options = parser.parse_args(arguments)
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    return exit_status(lambda: markdown(measure(options)) + "\n")


def measure(options: argparse.Namespace) -> Measured:
    """Every model with every number of steps on the same clips, from the same noise."""
    subjects = _subjects(options)
    bench = Bench.of_files([options.perceptual], options.out)
    windows, _ = held_out_windows(options.data, options.domain, options.clips, drawer(WIDTH, HEIGHT, 1), 0)
    measured: dict[str, dict[int, Values]] = {}
    for (name, steps), subject in subjects.items():
        mean = means([bench.in_betweens(subject, window) for window in windows])
        measured.setdefault(name, {})[steps] = mean
        _log.info("%s, %d steps: %.4f, %.2f dB", name, steps, mean["ours"], mean["ours_psnr"])
    return measured


def _subjects(options: argparse.Namespace) -> dict[tuple[str, int], TinyModel]:
    """What is measured, by name and steps.

    Raises:
        ValueError, OSError: an argument of another form, a number out of range, or a LoRA that cannot be used.
    """
    subjects = {}
    for name, lora in {UNDISTILLED: None, **_loras(options.lora)}.items():
        if lora:
            read_lora(lora)
        for steps in options.steps:
            settings = Settings(steps=steps, guidance_scale=1.0, eta=options.eta, clean_end=True, two_pass=False)
            subjects[name, steps] = TinyModel(options.model, None, settings, lora_path=lora)
    return subjects


def _loras(arguments: Sequence[str]) -> dict[str, Path]:
    """Name -> file.

    Raises:
        ValueError: an argument of another form, or a name that is taken.
    """
    pairs: dict[str, Path] = {}
    for argument in arguments:
        name, file = named_path(argument, "NAME=FILE such as distilled=model.safetensors", "--lora")
        if name in (UNDISTILLED, *pairs):
            raise ValueError(f"two models are called {name}; give each --lora a name of its own")
        pairs[name] = file
    return pairs


def markdown(measured: Measured) -> str:
    """A row for each model and number of steps, and what a few steps have of many undistilled ones."""
    rows = [
        [name, str(steps), f"{mean['ours']:.4f}", f"{mean['ours_psnr']:.2f}"]
        for name, by_steps in measured.items()
        for steps, mean in by_steps.items()
    ]
    first = next(iter(measured[UNDISTILLED].values()))
    rows += [
        [name, "", f"{first[key]:.4f}", f"{first[f'{key}_psnr']:.2f}"]
        for name, key in (("cross-dissolve", "dissolve"), ("nearest keyframe", "nearest"))
    ]
    return "\n\n".join([table(["model", "steps", "distance", "PSNR, dB"], rows), *_bars(measured)])


def _bars(measured: Measured) -> list[str]:
    """Nothing where the steps of the bars were not measured."""
    many = measured[UNDISTILLED].get(MANY)
    if many is None:
        return []
    rows = []
    for name, by_steps in measured.items():
        if few := by_steps.get(FEW):
            ratio, loss = few["ours"] / many["ours"], many["ours_psnr"] - few["ours_psnr"]
            met = "met" if ratio <= DISTANCE and loss <= DECIBEL else "not met"
            rows.append([name, f"{ratio:.3f}", f"{loss:.2f}", met])
    heads = [f"{FEW} steps, of {MANY} undistilled", f"distance (<= {DISTANCE})", f"dB less (<= {DECIBEL})", "bars"]
    return [table(heads, rows)] if rows else []


if __name__ == "__main__":
    sys.exit(main())
