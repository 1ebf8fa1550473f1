"""Shots, and a model that sleeps, for tests and measurements of what surrounds the model."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Collection
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import psutil
import torch
from PIL import Image
from torch import Tensor

from tooncrafter_core.batch.results.store import Results
from tooncrafter_core.batch.shots.shot import Shot, parse_shot
from tooncrafter_core.batch.work import Worker
from tooncrafter_core.sampling.coarse_to_fine import Plan, Run, all_runs, plan_runs
from tooncrafter_core.stages.film import Kept

SIDE = 16


@dataclass(frozen=True)
class SleepingModel:
    """Draws noise of the shot's seed, slowly; a shot whose prompt is the name of an error fails by it."""

    seconds: float = 0.0

    def segments(self, shot: Shot, chosen: Collection[int], kept: Kept, step: Callable[[], None]) -> dict[int, Tensor]:
        for run in (run for run in all_runs(plans_of(shot)) if run.segment in chosen and kept(run) is None):
            self._steps(shot, run, step)
        return {segment: self._frames(shot, segment) for segment in chosen}

    def run(self, shot: Shot, run: Run, kept: Kept, step: Callable[[], None]) -> Tensor:
        assert run.number == 0 or kept(Run(run.segment, 0)) is not None, "a fine run before the coarse one"
        self._steps(shot, run, step)
        return torch.tensor(run)

    def _steps(self, shot: Shot, run: Run, step: Callable[[], None]) -> None:
        if shot.settings.prompt in ("ValueError", f"ValueError {run.number}"):
            raise ValueError("it cannot be drawn")
        if shot.settings.prompt == "die":
            os.kill(os.getpid(), signal.SIGKILL)
        for _ in range(shot.settings.steps):
            time.sleep(self.seconds / shot.settings.steps)
            step()

    def _frames(self, shot: Shot, segment: int) -> Tensor:
        generator = torch.Generator().manual_seed(shot.settings.seed * 1000 + segment)
        return torch.rand(3, shot.counts[segment], shot.settings.height, shot.settings.width, generator=generator)


def plans_of(shot: Shot) -> list[Plan]:
    """Of each segment, by a model that was trained for 16 frames."""
    return [plan_runs(count, 16) for count in shot.counts]


def _worker(model: SleepingModel, results: Results, has_card: bool) -> Worker:
    results.check_seen()
    return Worker(model, results)


def sleeping_workers(results: Results, seconds: float = 0.0) -> Callable[[bool], Worker]:
    """What a pool makes workers by, of a folder of results that is there then."""
    results.weights.parent.mkdir(parents=True, exist_ok=True)
    results.weights.write_text("{}\n")
    return partial(_worker, SleepingModel(seconds), results)


def make_shots(folder: Path, count: int, **fields: object) -> list[Shot]:
    """Shots of 3 frames between two plain pictures, each with a seed of its own."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, colour in (("first.png", "white"), ("last.png", "black")):
        if not (folder / name).exists():
            Image.new("RGB", (SIDE, SIDE), colour).save(folder / name)
    given = {"keyframes": ["first.png", "last.png"], "width": SIDE, "height": SIDE, "frames": 3, "steps": 2, **fields}
    return [parse_shot({"name": f"shot{n:04}", "seed": n, **given}, folder, {}) for n in range(count)]


def files_of(results: Results) -> dict[str, bytes]:
    """Every frame that is there, by its path."""
    return {str(path.relative_to(results.folder)): path.read_bytes() for path in results.folder.glob("shots/*/*.png")}


def worker_processes() -> list[psutil.Process]:
    """Processes of Ray's workers that this process has started."""
    return [each for each in psutil.Process().children(recursive=True) if each.name().startswith("ray::_Actor")]
