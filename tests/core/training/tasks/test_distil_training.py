"""Distillation: what the student's aims are, that the teacher stays, and that only the LoRA is trained and written."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from pydantic import ValidationError
from safetensors.torch import load_file
from small_training import Workshop, make, run
from torch import Tensor

from tooncrafter_core.files.working_settings import WorkingSettings, read_working_settings
from tooncrafter_core.sampling.ddim import DDIMStep, Walk, ddim
from tooncrafter_core.sampling.guidance import guide
from tooncrafter_core.training.clips.segments import Segments, collate_segments
from tooncrafter_core.training.run.low_rank import read_lora
from tooncrafter_core.training.settings.tasks import Strategy
from tooncrafter_core.training.tasks.distil import Conditions, DistilPlayer

STRATEGIES: tuple[Strategy, ...] = ("progressive", "consistency")
STEPS = {"student_steps": 2, "teacher_steps": 4}
PHASES = [(0, 2), (2, 4)]


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where all of them share their segments."""
    return tmp_path_factory.mktemp("cache")


def prepared(workshop: Workshop, folder: Path, cache: Path, **changes: Any) -> tuple[DistilPlayer, Segments]:
    """A player whose LoRA does something, and a batch."""
    task = make(workshop.settings("distil", folder, cache=cache, **changes))
    player = task.players["distil"]
    assert isinstance(player, DistilPlayer)
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for branch in player.lora.branches:
            branch[1].weight.copy_(torch.randn(branch[1].weight.shape, generator=generator) * 0.05)  # type: ignore[index]
    return player, collate_segments([task.draws()[0]])


def conditions(batch: Segments) -> Conditions:
    return Conditions(batch, batch.text, batch.vision[:, 0])


def walked(player: DistilPlayer, z: Tensor, batch: Segments, places: list[int]) -> list[Tensor]:
    """Latents after each step of the sampler over places of the teacher's grid."""
    seen: list[DDIMStep] = []

    def denoise(z: Tensor, t: int) -> Tensor:
        return player.denoiser.predict(z, torch.tensor([t]), *conditions(batch))

    timesteps = [int(player.grid[place]) for place in places]
    walk = Walk(player.denoiser.denoising.schedule, timesteps, 0.0, clean_end=True)
    ddim(denoise, z, walk, lambda: z, seen.append)
    return [step.latents for step in seen]


@pytest.mark.parametrize(("at", "end"), PHASES)
@torch.no_grad()
def test_progressive_aims_where_the_teacher_walks(
    at: int, end: int, workshop: Workshop, cache: Path, tmp_path: Path
) -> None:
    player, batch = prepared(workshop, tmp_path, cache, **STEPS)
    z = torch.randn(batch.latents.shape, generator=torch.Generator().manual_seed(1))
    aim = player._aim(z, torch.tensor([at]), torch.tensor([end]), conditions(batch))
    with player.lora.left_out():
        expected = walked(player, z, batch, [*range(at, 4)])[1]
    assert not torch.allclose(walked(player, z, batch, [*range(at, 4)])[1], expected, rtol=1e-3)
    torch.testing.assert_close(aim, expected, rtol=1e-3, atol=1e-4)


@torch.no_grad()
def test_consistency_goes_on_from_the_teachers_step(workshop: Workshop, cache: Path, tmp_path: Path) -> None:
    """The last step of a phase is all the teacher's; before it, the student goes on to the phase's end."""
    player, batch = prepared(workshop, tmp_path, cache, strategy="consistency", **STEPS)
    z = torch.randn(batch.latents.shape, generator=torch.Generator().manual_seed(1))
    with player.lora.left_out():
        (first, *_), (last,) = walked(player, z, batch, [0, 1]), walked(player, z, batch, [3])
    (on, *_) = walked(player, first, batch, [1, 2])
    for at, end, expected in ((0, 2, on), (3, 4, last)):
        aim = player._aim(z, torch.tensor([at]), torch.tensor([end]), conditions(batch))
        torch.testing.assert_close(aim, expected, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("strategy", STRATEGIES)
@torch.no_grad()
def test_starts_and_ends_of_phases(strategy: Strategy, workshop: Workshop, cache: Path, tmp_path: Path) -> None:
    player, _ = prepared(workshop, tmp_path, cache, strategy=strategy, student_steps=4, teacher_steps=16)
    at, end = player._draw(2000, torch.Generator().manual_seed(0))
    starts = range(0, 16, 4) if strategy == "progressive" else range(16)
    assert at.unique().tolist() == [*starts]
    assert torch.equal(end, (at // 4 + 1) * 4)
    assert at.bincount(minlength=16)[starts].min() > 0.8 * 2000 / len(starts)
    assert player.grid[::4].tolist() == [999, 749, 499, 249, -1]


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_one_who_knows_the_clean_latents_has_nothing_to_learn(
    strategy: Strategy, workshop: Workshop, cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever the steps from there to the same place, they end alike."""
    player, batch = prepared(workshop, tmp_path, cache, strategy=strategy, **STEPS)
    schedule = player.denoiser.denoising.schedule

    def knowing(z: Tensor, timesteps: Tensor, batch: Segments, *others: Tensor) -> Tensor:
        return schedule.velocity(z, batch.latents, int(timesteps))

    monkeypatch.setattr(player.denoiser, "predict", knowing)
    for at, end in PHASES:
        place = torch.tensor([at]), torch.tensor([end])
        monkeypatch.setattr(player, "_draw", lambda count, generator, place=place: place)
        assert float(player(batch, torch.Generator().manual_seed(5), 0).total) < 1e-6


@torch.no_grad()
def test_the_teacher_is_guided(workshop: Workshop, cache: Path, tmp_path: Path) -> None:
    player, batch = prepared(workshop, tmp_path, cache, guidance_scale=3.0, guidance_rescale=0.5)
    z, t, denoising = torch.randn(batch.latents.shape), torch.tensor([600]), player.denoiser.denoising
    with player.lora.left_out():
        conditional = player.denoiser.predict(z, t, *conditions(batch))
        blank = denoising.blank_text, denoising.blank_vision
        unconditional = player.denoiser.predict(z, t, batch, *blank)
    assert not torch.allclose(conditional, unconditional, rtol=1e-3)
    expected = guide(conditional, unconditional, 3.0, 0.5)
    torch.testing.assert_close(player._teacher(z, t, conditions(batch)), expected, rtol=1e-3, atol=1e-4)


def test_only_the_lora_trains(workshop: Workshop, cache: Path, tmp_path: Path) -> None:
    player, _ = prepared(workshop, tmp_path, cache)
    trained = {name for name, parameter in player.named_parameters() if parameter.requires_grad}
    assert trained == {f"lora.{name}" for name, _ in player.lora.named_parameters()}


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_every_layer_learns_in_bfloat16(strategy: Strategy, workshop: Workshop, tmp_path: Path) -> None:
    """Where weights are cast once for the student and for its aims, which have no gradients."""
    changes = {"strategy": strategy, "precision": "bf16", "ema": 0, "steps": 1}
    written = read_lora(run(workshop.settings("distil", tmp_path, **changes)))
    assert sum(bool(factors.up.any()) for factors in written.values()) > 0.9 * len(written) > 50


def test_a_second_round_includes_the_first(workshop: Workshop, cache: Path, tmp_path: Path) -> None:
    """Its teacher is the first round's student; its file holds both, and the first as it was."""
    changes = {"cache": cache, "ema": 0, "steps": 1, "sample_every": 9}
    first = run(workshop.settings("distil", tmp_path / "1", student_steps=4, teacher_steps=8, **changes))
    second = run(workshop.settings("distil", tmp_path / "2", begin=first, rank=2, **STEPS, **changes))
    one, both = read_lora(first), read_lora(second)
    assert one.keys() == both.keys()
    for name, (up, down) in one.items():
        rank = len(down)
        torch.testing.assert_close(both[name].up[:, :rank], up)
        torch.testing.assert_close(both[name].down[:rank], down)
        assert 1 <= len(both[name].down) - rank <= 2
    player, batch = prepared(workshop, tmp_path / "3", cache, begin=first, **STEPS)
    student, _ = prepared(workshop, tmp_path / "4", cache, **STEPS)
    with torch.no_grad():
        for name, branch in zip(student.lora.names, student.lora.branches, strict=True):
            branch[0].weight.copy_(one[name].down)  # type: ignore[index]
            branch[1].weight.copy_(one[name].up)  # type: ignore[index]
        z, t = torch.randn(batch.latents.shape), torch.tensor([999])
        taught, gone = player._teacher(z, t, conditions(batch)), student._student(z, t, conditions(batch))
    torch.testing.assert_close(taught, gone, rtol=1e-3, atol=1e-4)


def test_what_it_leaves(workshop: Workshop, tmp_path: Path) -> None:
    path = run(workshop.settings("distil", tmp_path, steps=1, gradient_checkpointing=True, **STEPS))
    assert (tmp_path / "strips" / "0000001.png").exists()
    assert all(tensor.isfinite().all() for tensor in load_file(path).values())
    assert read_working_settings(path) == WorkingSettings(steps=2, guidance_scale=1.0, clean_end=True)


@pytest.mark.parametrize("teacher", [4, 6, 2])
def test_steps_that_do_not_fit(teacher: int, workshop: Workshop, tmp_path: Path) -> None:
    with pytest.raises(ValidationError, match=r"expected 2, 3 or more times student_steps, which is 4"):
        workshop.settings("distil", tmp_path, student_steps=4, teacher_steps=teacher)
