"""A training that was broken off and taken up again ends as if nothing had happened."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from accelerate import Accelerator
from safetensors.torch import load_file
from small_training import Workshop, make, run
from torch import Tensor

from tooncrafter_core.training.__main__ import TRAININGS
from tooncrafter_core.training.run.engine import Run
from tooncrafter_core.training.run.journal import Journal


class BrokenOff(Exception):
    """What ends a run in the middle."""


@pytest.fixture
def breaking_off_after_step_3(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """Steps 1 and 2 are in the run's state then, and step 3 in its table only."""
    write = Journal.write

    def write_and_break_off(journal: Journal, step: int, metrics: Mapping[str, float]) -> None:
        write(journal, step, metrics)
        if step == 3:
            raise BrokenOff

    monkeypatch.setattr(Journal, "write", write_and_break_off)
    return monkeypatch


def tensors_of(content: Any) -> list[Any]:
    """Tensors, numbers and texts in a nest of lists and dictionaries, in order."""
    if isinstance(content, Mapping):
        return [leaf for key, value in content.items() for leaf in [key, *tensors_of(value)]]
    if isinstance(content, (list, tuple)):
        return [leaf for value in content for leaf in tensors_of(value)]
    return [content]


def same(a: Any, b: Any) -> bool:
    return torch.equal(a, b) if isinstance(a, Tensor) else a == b


@pytest.mark.parametrize("name", TRAININGS)
def test_two_steps_and_two_more_are_four(
    name: str, workshop: Workshop, tmp_path: Path, breaking_off_after_step_3: pytest.MonkeyPatch
) -> None:
    """And it is the same whether another process reads the clips or the run's own."""
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    changes = {"accumulate": 2, "warm_up": 1, "cool_down": 1, "gradient_checkpointing": name == "base"}
    with pytest.raises(BrokenOff):
        run(workshop.settings(name, broken, workers=1, **changes))
    assert torch.load(broken / "state.pt")["step"] == 2
    assert len((broken / "metrics.csv").read_text().splitlines()) == 1 + 3
    half = load_file(broken / "model.safetensors")

    breaking_off_after_step_3.undo()
    resumed = load_file(run(workshop.settings(name, broken, workers=1, **changes)))
    at_once = load_file(run(workshop.settings(name, whole, workers=0, **changes)))
    assert resumed.keys() == at_once.keys()
    assert all(torch.equal(resumed[key], at_once[key]) for key in at_once)
    assert any(not torch.equal(half[key], at_once[key]) for key in at_once)
    states = [tensors_of(torch.load(folder / "state.pt")) for folder in (whole, broken)]
    assert len(states[0]) > 50
    assert all(same(a, b) for a, b in zip(*states, strict=True))
    assert (broken / "metrics.csv").read_bytes() == (whole / "metrics.csv").read_bytes()
    assert (broken / "strips" / "0000004.png").read_bytes() == (whole / "strips" / "0000004.png").read_bytes()


def test_a_run_out_of_time_is_saved_and_goes_on(workshop: Workshop, tmp_path: Path) -> None:
    settings = workshop.settings("autoencoder", tmp_path / "short", save_every=100)
    accelerator = Accelerator(cpu=True)
    short = Run(make(settings, accelerator), settings, accelerator)
    with torch.enable_grad():
        short.go(seconds=0)
    assert short.step == 1 and not short.finished
    resumed = load_file(run(settings))
    at_once = load_file(run(workshop.settings("autoencoder", tmp_path / "whole", save_every=100)))
    assert all(torch.equal(resumed[key], at_once[key]) for key in at_once)
