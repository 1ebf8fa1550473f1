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

SIDE = 16


@dataclass(frozen=True)
class SleepingModel:
    """Draws noise of the shot's seed, slowly; a shot whose prompt is the name of an error fails by it."""

    seconds: float = 0.0

    def __call__(self, shot: Shot, segments: Collection[int], step: Callable[[], None]) -> dict[int, Tensor]:
        if shot.settings.prompt == "ValueError":
            raise ValueError("it cannot be drawn")
        if shot.settings.prompt == "die":
            os.kill(os.getpid(), signal.SIGKILL)
        for _ in range(shot.settings.steps):
            time.sleep(self.seconds / shot.settings.steps * len(segments))
            step()
        return {segment: self._frames(shot, segment) for segment in segments}

    def _frames(self, shot: Shot, segment: int) -> Tensor:
        generator = torch.Generator().manual_seed(shot.settings.seed * 1000 + segment)
        return torch.rand(3, shot.counts[segment], shot.settings.height, shot.settings.width, generator=generator)


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
