"""A cache that several processes write to, of one run or of several."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from threading import Barrier, Lock
from time import sleep
from typing import Any

import pytest
import torch
from accelerate import Accelerator
from safetensors.torch import load_file
from small_training import Workshop

from tooncrafter_core import read_checkpoint
from tooncrafter_core.files.checkpoint import Checkpoint
from tooncrafter_core.sketches.lines import load_line_extractor
from tooncrafter_core.training.clips import cache
from tooncrafter_core.training.clips.cache import cached_segments
from tooncrafter_core.training.clips.draws import Draws
from tooncrafter_core.training.clips.segments import Segments
from tooncrafter_core.training.run.export import write_checkpoint
from tooncrafter_core.training.settings.tasks import SketchSettings
from tooncrafter_core.training.tasks.autoencoder import clip_stream


@pytest.fixture(scope="module")
def start(workshop: Workshop) -> Checkpoint:
    return read_checkpoint(workshop.start)


def kept(settings: SketchSettings, start: Checkpoint, accelerator: Any) -> Segments:
    draws = Draws(clip_stream(settings, settings.frames, 1))
    return cached_segments(settings, start, draws, accelerator, load_line_extractor(None))


def files(folder: Path) -> set[Path]:
    return {*(folder / "cache").glob("*.safetensors")}


@dataclass(frozen=True)
class OneOfTwo:
    """What `cached_segments` asks an accelerator for; its other process has come first."""

    process_index: int
    num_processes: int = 2
    device: str = "cpu"
    autocast: Callable[[], AbstractContextManager[None]] = nullcontext

    @property
    def is_main_process(self) -> bool:
        return self.process_index == 0

    def wait_for_everyone(self) -> None:
        pass


def test_two_processes_compute_what_one_does(workshop: Workshop, start: Checkpoint, tmp_path: Path) -> None:
    """Each its share: of two and a half batches two, and one. One that is there already is not computed again."""

    def compute(name: str, accelerator: Any) -> Segments:
        return kept(workshop.settings("sketch", tmp_path / name, segments=10), start, accelerator)

    whole = compute("one", Accelerator(cpu=True))
    with pytest.raises(FileNotFoundError):  # the first process joins the shares
        compute("two", OneOfTwo(1))
    (share,) = files(tmp_path / "two")
    assert len(load_file(share)["latents"]) == 4
    written = share.stat().st_ino
    with pytest.raises(FileNotFoundError):
        compute("two", OneOfTwo(1))
    assert share.stat().st_ino == written
    joined = compute("two", OneOfTwo(0))
    assert all(torch.equal(a, b) for a, b in zip(whole, joined, strict=True))
    assert {file.name for file in files(tmp_path / "one")} == {file.name for file in files(tmp_path / "two")}


def test_two_runs_with_one_cache(
    workshop: Workshop, start: Checkpoint, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Both have computed before either writes; one writes, and both have the segments."""
    made = Segments(*torch.rand(5, 4, 3).unbind())
    meeting, writing, written = Barrier(2, timeout=60), Lock(), []

    def compute(*_: object) -> Segments:
        meeting.wait()
        return made

    def write(tensors: dict[str, torch.Tensor], path: Path) -> None:
        assert writing.acquire(blocking=False), "both write at once"
        sleep(0.2)
        written.append(path)
        write_checkpoint(tensors, path)
        writing.release()

    monkeypatch.setattr(cache, "_compute", compute)
    monkeypatch.setattr(cache, "write_checkpoint", write)
    settings = workshop.settings("sketch", tmp_path)
    with ThreadPoolExecutor(2) as runs:
        found = list(runs.map(lambda _: kept(settings, start, Accelerator(cpu=True)), range(2)))
    assert len(written) == len(files(tmp_path)) == 1
    for segments in found:
        assert all(torch.equal(a, b) for a, b in zip(segments, made, strict=True))


def test_a_run_that_comes_late_has_nothing_to_write(
    workshop: Workshop, start: Checkpoint, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another one, of a single process, was done while the second of two processes was on its way."""
    settings = workshop.settings("sketch", tmp_path, segments=8)
    compute = cache._compute

    def overtaken(*given: Any) -> Segments:
        with monkeypatch.context() as patch:
            patch.setattr(cache, "_compute", compute)
            kept(settings, start, Accelerator(cpu=True))
        return compute(*given)

    monkeypatch.setattr(cache, "_compute", overtaken)
    late = [kept(settings, start, OneOfTwo(rank)) for rank in (1, 0)]
    assert len(files(tmp_path)) == 1
    assert all(torch.equal(a, b) for a, b in zip(*late, strict=True))
