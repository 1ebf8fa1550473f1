"""Draws how the losses of a training fell, from the metrics.csv of its run.

    python scripts/draw/losses.py ~/.cache/tooncrafter-training/next/joint/metrics.csv --out losses.png

A point is the mean over the steps since the point before, of which there are twice as many each time: single steps
differ more from each other, by their timesteps, than the curve falls.
"""

from __future__ import annotations

import argparse
import csv
import math
import sys
from itertools import pairwise
from pathlib import Path
from statistics import fmean

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # so that the script runs from anywhere
sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from draw.curves import Curve, draw_curves
from tooncrafter_core.evaluation.command import exit_status

_FIRST = 25
"""About so many steps are in the first point."""
_LOSSES = "mse", "l1", "perceptual"
"""What the names of losses end in, of a denoiser and of a decoder."""


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("metrics", type=Path, help="metrics.csv of a run")
    parser.add_argument("--out", type=Path, required=True, help="the picture, PNG")
    options = parser.parse_args()
    return exit_status(lambda: draw_curves(loss_curves(options.metrics), "steps", "loss").save(options.out))


def loss_curves(metrics: Path) -> dict[str, Curve]:
    """The columns that are losses, by step.

    Raises:
        OSError: no such file.
        ValueError: there are no such columns, or no steps, or what stands there are no numbers.
    """
    with metrics.open(newline="", encoding="utf-8") as file:
        rows = [row for row in csv.DictReader(file) if None not in row.values()]  # one that is being written is cut off
    losses = [name for name in (rows[0] if rows else ()) if name.endswith(_LOSSES)]
    if not losses:
        raise ValueError(
            f"{metrics} has no step with a column that ends in {', '.join(_LOSSES)}; expected the metrics.csv of a "
            "training"
        )
    ends = [len(rows)]
    while ends[0] >= 2 * _FIRST:
        ends.insert(0, ends[0] // 2)
    parts = [rows[first:last] for first, last in pairwise([0, *ends])]
    try:
        steps = [int(part[-1]["step"]) for part in parts]
        means = {name: [fmean(float(row[name]) for row in part) for part in parts] for name in losses}
    except (KeyError, ValueError) as error:
        raise ValueError(
            f"{metrics} is no table of a training's metrics ({error}); expected numbers by step"
        ) from error
    if steps[0] < 1 or not all(math.isfinite(mean) for curve in means.values() for mean in curve):
        raise ValueError(f"{metrics} has a step before 1, or a loss that is not finite; neither can be drawn")
    return {name: dict(zip(steps, curve, strict=True)) for name, curve in means.items()}


if __name__ == "__main__":
    sys.exit(main())
