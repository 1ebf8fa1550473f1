"""A state that a run cannot go on from: damaged, or of another training."""

from __future__ import annotations

import os
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn
from toy_training import Nearest, go, settings, state_of, toy

from tooncrafter_core.training.run import optimisers
from tooncrafter_core.training.run.task import Task
from tooncrafter_core.training.settings.run import SettingsError


class Wider(Nearest):
    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(5))


@pytest.mark.parametrize("other", [lambda: toy(Wider()), lambda: toy(Nearest(), Nearest())])
def test_another_trainings_state_is_refused(other: Callable[[], Task], tmp_path: Path) -> None:
    go(toy(Nearest()), settings(tmp_path))
    with pytest.raises(SettingsError, match=r"state\.pt is of a training of other tensors"):
        go(other(), settings(tmp_path))


def damaged_states() -> dict[str, Callable[[Path], object]]:
    def changed(**changes: Any) -> Callable[[Path], object]:
        return lambda path: torch.save({**torch.load(path), **changes}, path)

    return {
        "garbage": lambda path: path.write_bytes(b"no state" * 99),
        "empty": lambda path: path.write_bytes(b""),
        "cut off": lambda path: path.write_bytes(path.read_bytes()[:-300]),
        "a list": lambda path: torch.save([1], path),
        "no step": lambda path: torch.save({"contestants": {}}, path),
        "step of another kind": changed(step="3"),
        "negative step": changed(step=-3),
        "no contestants": changed(contestants=7),
        "parameters of another kind": changed(contestants={"player0": {"parameters": [3]}}),
        "no averages": changed(ema={}),
        "averages of another kind": changed(ema={"updates": 1, "averages": {"weight": "x"}}),
        "averages of another shape": changed(ema={"updates": 1, "averages": {"weight": torch.zeros(1)}}),
        "averages of NaN": changed(ema={"updates": 1, "averages": {"weight": torch.full((3,), torch.nan)}}),
        "a flipped bit in a weight": flip_a_bit,
        "a pickle that runs something": lambda path: path.write_bytes(pickle.dumps(Runs(path))),
        "a folder": lambda path: (path.unlink(), path.mkdir()),
        "a pipe": lambda path: (path.unlink(), os.mkfifo(path)),
    }


class Runs:
    """What a malicious file has in it: reading it with pickle would remove a file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return os.unlink, (str(self.path),)


def flip_a_bit(path: Path) -> None:
    """In the run's weights, which PyTorch reads without a look at their checksum."""
    weights = torch.load(path)["contestants"]["player0"]["parameters"][0].numpy().tobytes()
    content = bytearray(path.read_bytes())
    content[content.index(weights)] ^= 1
    path.write_bytes(content)


@pytest.mark.parametrize("damage", damaged_states())
def test_a_damaged_state_is_refused(damage: str, tmp_path: Path) -> None:
    go(toy(Nearest()), settings(tmp_path, steps=1))
    damaged_states()[damage](tmp_path / "state.pt")
    with pytest.raises(SettingsError, match=r"state\.pt (is damaged|holds|is no file).* training begins anew\. "):
        go(toy(Nearest()), settings(tmp_path))


def test_a_lack_of_memory_is_no_damage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever took the state away then would have lost it."""

    def too_much(*_: object) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")

    go(toy(Nearest()), settings(tmp_path, steps=1))
    monkeypatch.setattr(optimisers, "divided_moments", too_much)
    with pytest.raises(torch.OutOfMemoryError):
        go(toy(Nearest()), settings(tmp_path))


def kept_otherwise(**changes: Any) -> Callable[[dict[str, Any]], None]:
    """What the optimiser has kept of the weight, changed."""
    return lambda contestant: contestant["optimisers"][0]["state"][0].update(changes)


@pytest.mark.parametrize(
    "change",
    [
        lambda contestant: contestant["optimisers"].pop(),
        lambda contestant: contestant["optimisers"][0].update(state={0: {"momentum_buffer": torch.zeros(3)}}),
        lambda contestant: contestant.update(parameters=[p.to(torch.int8) for p in contestant["parameters"]]),
        kept_otherwise(exp_avg=torch.zeros(7)),
    ],
    ids=["no optimiser", "another optimiser", "weights of another dtype", "moments of another shape"],
)
def test_a_state_that_does_not_fit_is_refused(change: Callable[[dict[str, Any]], None], tmp_path: Path) -> None:
    go(toy(Nearest()), settings(tmp_path, steps=1))
    state = state_of(tmp_path)
    change(state["contestants"]["player0"])
    torch.save(state, tmp_path / "state.pt")
    with pytest.raises(SettingsError, match=r"state\.pt is of a training of other tensors, or with another optimiser"):
        go(toy(Nearest()), settings(tmp_path))


def test_a_state_of_more_steps_than_are_asked_for_is_refused(tmp_path: Path) -> None:
    """Its checkpoint is not the one that was asked for."""
    go(toy(Nearest()), settings(tmp_path))
    with pytest.raises(SettingsError, match=r"state\.pt is of step 4; expected one up to 3"):
        go(toy(Nearest()), settings(tmp_path, steps=3))
