"""What a worker does: it draws segments of shots, and makes results of them."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, TypeVar

import torch
from torch import Tensor

from ..files.media import read_image
from ..pipeline import draw_run, draw_segments
from ..sampling.coarse_to_fine import Run
from ..sketches.placed import Sketch
from ..stages.film import Kept
from ..timeline import join_segments
from ..toon_crafter import DTYPES, ToonCrafter, working_device
from .results.parts import Parts
from .results.store import Record, Results
from .shots.shot import Shot
from .tasks import Part, Task


class Renderer(Protocol):
    """Draws a shot; `kept` knows the runs that were drawn before, `step` is called after each sampling step."""

    def segments(self, shot: Shot, chosen: Collection[int], kept: Kept, step: Callable[[], None]) -> dict[int, Tensor]:
        """Frames (3, t, H, W) in [0, 1] of segments by number."""

    def run(self, shot: Shot, run: Run, kept: Kept, step: Callable[[], None]) -> Tensor:
        """The latents that come of a run, on the CPU."""


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


_Drawn = TypeVar("_Drawn")


@dataclass(frozen=True)
class _ModelRenderer:
    model: ToonCrafter
    threads: int

    def segments(self, shot: Shot, chosen: Collection[int], kept: Kept, step: Callable[[], None]) -> dict[int, Tensor]:
        return self._draw(draw_segments, shot, chosen, kept, step)

    def run(self, shot: Shot, run: Run, kept: Kept, step: Callable[[], None]) -> Tensor:
        return self._draw(draw_run, shot, run, kept, step)

    def _draw(
        self, draw: Callable[..., _Drawn], shot: Shot, what: object, kept: Kept, step: Callable[[], None]
    ) -> _Drawn:
        torch.set_num_threads(self.threads)  # a thread's own setting, and workers draw in one of several
        return draw(
            self.model,
            _Pictures(shot.keyframes),
            what,
            shot.settings,
            {each.frame: Sketch(read_image(each.picture), each.strength) for each in shot.sketches},
            callback=lambda _: step(),
            kept=kept,
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
        if task.part is None:
            return self._finish(task.shot, task.key)
        started, parts = time.perf_counter(), self._results.parts(task.shot.name, task.key)
        drawn = self._draw(task.shot, task.part, parts)
        parts.write(task.part, drawn, time.perf_counter() - started)
        return None

    def _draw(self, shot: Shot, part: Part, parts: Parts) -> Tensor:
        if isinstance(part, Run):
            return self._render.run(shot, part, parts.read, self._count)
        return self._render.segments(shot, [part], parts.read, self._count)[part]

    def _finish(self, shot: Shot, key: str) -> Record:
        parts = self._results.parts(shot.name, key)
        kept = {segment: parts.read(segment) for segment in range(len(shot.counts))}
        drawn = {segment: frames for segment, frames in kept.items() if frames is not None}
        seconds, started = parts.seconds(), time.perf_counter()
        if missing := [segment for segment in kept if segment not in drawn]:
            drawn |= self._render.segments(shot, missing, parts.read, self._count)
            seconds += time.perf_counter() - started
        shown = shot.retiming.apply(join_segments([drawn[each] for each in kept], shot.settings.loop), shot.counts)
        record = Record(key, len(shown), round(seconds, 3), self.name)
        self._results.write(shot.name, shown, record)
        return record

    def _count(self) -> None:
        self.steps += 1
