"""A long segment whose runs are tasks comes to the bits that one process draws in one go, whoever draws which run."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import torch
from here_pool import Failing, HerePool
from PIL import Image
from torch import Tensor

from tooncrafter_core import Sketch, ToonCrafter, interpolate
from tooncrafter_core.batch.plan import plan
from tooncrafter_core.batch.results.store import Results
from tooncrafter_core.batch.run import run
from tooncrafter_core.batch.shots.shot import Shot, parse_shot
from tooncrafter_core.batch.work import Models, Renderer, Worker
from tooncrafter_core.files.media import read_image
from tooncrafter_core.models.unet.unet import UNet
from tooncrafter_core.sampling.coarse_to_fine import Run

STEPS, PASSES = 2, 3
"""Of each run; its last step predicts twice."""
SIZE = {"width": 16, "height": 16, "steps": STEPS, "guidance_scale": 1, "seed": 4}


@pytest.fixture
def results(tmp_path: Path) -> Results:
    return Results(tmp_path / "out")


@pytest.fixture
def pictures(tmp_path: Path) -> list[Tensor]:
    """Three keyframes, which are files as well."""
    generator = torch.Generator().manual_seed(2)
    for number in range(3):
        pixels = (torch.rand(16, 16, 3, generator=generator) * 255).byte()
        Image.fromarray(pixels.numpy()).save(tmp_path / f"{number}.png")
    return [read_image(tmp_path / f"{number}.png") for number in range(3)]


def shot_of(folder: Path, frames: str, **fields: object) -> Shot:
    keyframes = [f"{number}.png" for number in range(frames.count(",") + 2)]
    return parse_shot({"name": "hop", "keyframes": keyframes, "frames": frames, **SIZE, **fields}, folder, {})


@pytest.fixture(scope="module")
def renderers(tiny_files: tuple[Path, Path]) -> list[Renderer]:
    """Two, each with models of its own."""
    return [Models(*tiny_files, "float32", threads=1).load("cpu") for _ in range(2)]


def draw(shot: Shot, results: Results, by: list[Renderer], failing: Failing = lambda task: None) -> HerePool:
    pool = HerePool([Worker(render, results) for render in by], failing)
    report = run([shot], results, plan([shot], results, ["w"], trained=16, whole=False), pool)
    assert not report.failures, report.failures
    return pool


def frames_of(results: Results) -> Tensor:
    return torch.stack([read_image(file) for file in sorted(results.frames("hop").iterdir())])


def rounded(frames: Tensor) -> Tensor:
    """As PNGs have them."""
    return (frames * 255).round() / 255


@contextmanager
def counted_passes(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[int]]:
    """Frames of each call of any U-Net."""
    calls, forward = list[int](), UNet.forward

    def counting(self: UNet, x: Tensor, *rest: object, **more: object) -> Tensor:
        calls.append(x.shape[2])
        return forward(self, x, *rest, **more)  # type: ignore[arg-type]

    with monkeypatch.context() as patch:
        patch.setattr(UNet, "forward", counting)
        yield calls


@pytest.mark.parametrize(
    ("frames", "eta", "count"),
    [("46", 1.0, 1), ("46", 1.0, 2), ("17, 31", 1.0, 2), ("3, 31", 0.0, 2)],
    ids=["by one", "by two", "two segments", "beside a short one"],
)
def test_runs_by_any_worker_are_those_of_one_go(
    frames: str,
    eta: float,
    count: int,
    pictures: list[Tensor],
    results: Results,
    tmp_path: Path,
    tiny_files: tuple[Path, Path],
    renderers: list[Renderer],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    shot = shot_of(tmp_path, frames, eta=eta, sketches={"7": "2.png"})
    model = ToonCrafter.load(*tiny_files, dtype=torch.float32)
    keyframes = pictures[: len(shot.keyframes)]
    with counted_passes(monkeypatch) as whole:
        expected = interpolate(model, keyframes, shot.settings, {7: Sketch(pictures[2])})
    with counted_passes(monkeypatch) as spread:
        pool = draw(shot, results, renderers[:count])
    assert torch.equal(frames_of(results), rounded(expected))
    assert sorted(spread) == sorted(whole)
    assert STEPS * len(whole) == (PASSES if eta else STEPS) * sum(task.steps for task in pool.done)
    assert not list(results.folder.glob("parts/*"))


def test_runs_are_latents_to_the_last_bit(
    pictures: list[Tensor], tmp_path: Path, tiny_files: tuple[Path, Path], renderers: list[Renderer]
) -> None:
    """What is decoded of kept runs is, before it is rounded, what is decoded of runs drawn just now."""
    shot = shot_of(tmp_path, "31")
    first, second = renderers
    kept = {Run(0, 0): first.run(shot, Run(0, 0), lambda run: None, int)}
    kept[Run(0, 2)] = second.run(shot, Run(0, 2), kept.get, int)
    kept[Run(0, 1)] = first.run(shot, Run(0, 1), kept.get, int)
    assert torch.equal(second.run(shot, Run(0, 2), lambda run: None, int), kept[Run(0, 2)]), "its coarse run as well"
    model = ToonCrafter.load(*tiny_files, dtype=torch.float32)
    expected = interpolate(model, pictures[:2], shot.settings)
    drawn = second.segments(shot, [0], kept.get, pytest.fail)[0]
    assert torch.equal(drawn.transpose(0, 1), expected)


def test_kept_runs_are_not_drawn_again(
    pictures: list[Tensor],
    results: Results,
    tmp_path: Path,
    renderers: list[Renderer],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Stopped when two runs are done, gone on with by others; and stopped before decoding, with a damaged file."""
    shot = shot_of(tmp_path, "46")
    whole = Results(tmp_path / "whole")
    draw(shot, whole, renderers[:1])
    with counted_passes(monkeypatch) as before, pytest.raises(KeyboardInterrupt):
        draw(shot, results, renderers, lambda task: KeyboardInterrupt() if task.part == Run(0, 2) else None)
    kept = sorted(results.folder.glob("parts/*/*/*.safetensors"))
    assert [file.stem for file in kept] == ["0000_00", "0000_01"] and len(before) == 2 * PASSES
    with counted_passes(monkeypatch) as after:
        draw(shot, results, renderers)
    assert len(after) == 2 * PASSES and torch.equal(frames_of(results), frames_of(whole))

    again = Results(tmp_path / "again")
    with pytest.raises(KeyboardInterrupt):
        draw(shot, again, renderers[:1], lambda task: None if task.part else KeyboardInterrupt())
    (damaged,) = again.folder.glob("parts/*/*/0000_02.safetensors")
    damaged.write_bytes(damaged.read_bytes()[:-8])
    with counted_passes(monkeypatch) as mended:
        draw(shot, again, renderers[:1])
    assert len(mended) == PASSES and torch.equal(frames_of(again), frames_of(whole))


def test_a_lost_coarse_run_is_not_drawn_again_for_nothing(
    pictures: list[Tensor],
    results: Results,
    tmp_path: Path,
    renderers: list[Renderer],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Its fine runs are all there, and it has no frame of its own."""
    shot, whole = shot_of(tmp_path, "31"), Results(tmp_path / "whole")
    draw(shot, whole, renderers[:1])
    with pytest.raises(KeyboardInterrupt):
        draw(shot, results, renderers[:1], lambda task: None if task.part else KeyboardInterrupt())
    (coarse,) = results.folder.glob("parts/*/*/0000_00.safetensors")
    coarse.unlink()
    with counted_passes(monkeypatch) as passes:
        pool = draw(shot, results, renderers[:1])
    assert ([task.part for task in pool.done], passes) == ([None], [])
    assert torch.equal(frames_of(results), frames_of(whole))


def test_seconds_are_those_of_all_tasks(
    pictures: list[Tensor], results: Results, tmp_path: Path, renderers: list[Renderer]
) -> None:
    shot = shot_of(tmp_path, "17")
    with pytest.raises(KeyboardInterrupt):
        draw(shot, results, renderers[:1], lambda task: None if task.part else KeyboardInterrupt())
    (folder,) = results.folder.glob("parts/*/*")
    parts = results.parts("hop", folder.name).seconds()
    draw(shot, results, renderers[:1])
    record = results.record("hop")
    assert record is not None and 0 < parts < record.seconds
