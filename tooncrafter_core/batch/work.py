"""What a worker does: it draws segments of shots, and makes results of them."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import torch
from torch import Tensor

from ..files.media import read_image
from ..pipeline import draw_segments
from ..sketches.placed import Sketch
from ..timeline import join_segments
from ..toon_crafter import DTYPES, ToonCrafter, working_device
from .results.store import Part, Record, Results
from .shots.shot import Shot


@dataclass(frozen=True)
class Task:
    """A piece of work.

    Attributes:
        shot: what it is of.
        key: of the shot, see `shot_key`.
        segment: draw and keep this one; None draws what is missing and finishes the shot.
        steps: sampling steps it takes, as far as is known before.
    """

    shot: Shot
    key: str
    segment: int | None
    steps: int


class Renderer(Protocol):
    """Draws segments of a shot: frames (3, t, H, W) in [0, 1] by number; `step` is called after each sampling step."""

    def __call__(self, shot: Shot, segments: Collection[int], step: Callable[[], None]) -> dict[int, Tensor]: ...


@dataclass(frozen=True)
class Models:
    """What a worker loads.

    Attributes:
        checkpoint: a complete checkpoint.
        sketch_encoder: for shots with sketches.
        dtype: one of DTYPES.
        threads: of a CPU; None is all.
    """

    checkpoint: Path
    sketch_encoder: Path | None
    dtype: str
    threads: int | None

    def load(self, device: str) -> Renderer:
        """The models at work on a device, loaded once.

        Raises:
            FileNotFoundError: no such file.
            CheckpointError: a file cannot be used.
            ValueError: the sketch encoder belongs to another model, or the device cannot be used.
        """
        model = ToonCrafter.load(self.checkpoint, self.sketch_encoder, working_device(device), DTYPES[self.dtype])
        model.stay_at_work()
        return _ModelRenderer(model, self.threads or os.cpu_count() or 1)


@dataclass(frozen=True)
class _ModelRenderer:
    model: ToonCrafter
    threads: int

    def __call__(self, shot: Shot, segments: Collection[int], step: Callable[[], None]) -> dict[int, Tensor]:
        torch.set_num_threads(self.threads)  # a thread's own setting, and workers draw in one of several
        return draw_segments(
            self.model,
            _Pictures(shot.keyframes),
            segments,
            shot.settings,
            {each.frame: Sketch(read_image(each.picture), each.strength) for each in shot.sketches},
            callback=lambda _: step(),
        )


class _Pictures(Sequence[Tensor]):
    """Pictures (3, H, W), each read when it is looked at."""

    def __init__(self, files: Sequence[Path]) -> None:
        self._files = files

    def __len__(self) -> int:
        return len(self._files)

    def __getitem__(self, index: int) -> Tensor:  # type: ignore[override]  # no slices
        return read_image(self._files[index])


class Worker:
    """Does one task after the other.

    Args:
        render: the models.
        results: where they go.
    """

    def __init__(self, render: Renderer, results: Results) -> None:
        self._render, self._results = render, results
        self.name = f"{socket.gethostname()}, process {os.getpid()}"
        self.steps = 0
        """Sampling steps of the task that is being done."""

    def do(self, task: Task) -> Record | None:
        """Do it; a record comes of a finished shot.

        Raises:
            ValueError: the shot cannot be drawn as it is.
            OSError: a picture cannot be read, or the result not be written.
        """
        self.steps = 0
        if task.segment is None:
            return self._finish(task.shot, task.key)
        self._results.write_part(task.key, task.segment, self._draw(task.shot, [task.segment])[task.segment])
        return None

    def _finish(self, shot: Shot, key: str) -> Record:
        kept = {segment: self._results.read_part(key, segment) for segment in range(len(shot.counts))}
        parts = {segment: part for segment, part in kept.items() if part is not None}
        if missing := [segment for segment in kept if segment not in parts]:
            parts |= self._draw(shot, missing)
        frames = join_segments([parts[segment].frames for segment in kept], shot.settings.loop)
        shown = shot.retiming.apply(frames, shot.counts)
        record = Record(key, len(shown), round(sum(part.seconds for part in parts.values()), 3), self.name)
        self._results.write(shot.name, shown, record)
        self._results.forget_parts(key)
        return record

    def _draw(self, shot: Shot, segments: Sequence[int]) -> dict[int, Part]:
        started = time.perf_counter()
        drawn = self._render(shot, segments, self._count)
        seconds = (time.perf_counter() - started) / len(drawn)
        return {segment: Part(frames, seconds) for segment, frames in drawn.items()}

    def _count(self) -> None:
        self.steps += 1
