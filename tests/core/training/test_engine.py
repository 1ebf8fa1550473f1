"""The loop, with tasks that are small enough to be reckoned by hand."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import torch
from accelerate import Accelerator
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.utils.data import Dataset

from tooncrafter_core.training import engine, export
from tooncrafter_core.training.engine import Run, learning_rate
from tooncrafter_core.training.settings import RunSettings, SettingsError
from tooncrafter_core.training.task import Loss, Player, Task

START = 0.5


class Numbers(NamedTuple):
    values: Tensor
    skipped: int


class Drawn(Dataset[float]):
    """Draw n is a number by n."""

    def __getitem__(self, n: int) -> float:
        return ((7 * n + 3) % 11) / 11


def collate(drawn: Sequence[float]) -> Numbers:
    return Numbers(torch.tensor(drawn), 1 if min(drawn) < 0.2 else 0)


class Nearest(Player):
    """Its weight goes to the mean of the numbers, plus some noise."""

    def __init__(self, noise: float = 0.0, begins: int = 0) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.full((3,), START))
        self.noise, self.begins = noise, begins
        self.seen: list[tuple[int, list[float], float]] = []
        self.gradients: list[Tensor] = []

    def plays(self, step: int) -> bool:
        return step >= self.begins

    def forward(self, batch: Numbers, generator: torch.Generator, step: int) -> Loss:
        drawn = torch.randn((), generator=generator)
        self.seen.append((step, batch.values.tolist(), float(drawn)))
        loss = (self.weight - batch.values[:, None] - self.noise * drawn).square().mean()
        return Loss(loss, {"distance": loss})


def toy(*players: Player) -> Task:
    named = {f"player{number}": player for number, player in enumerate(players)}
    first = players[0]
    return Task(
        players=named,
        draws=Drawn(),
        collate=collate,
        strip=lambda: torch.zeros(3, 8, 8),
        checkpoint=lambda: {name: tensor.detach().clone() for name, tensor in first.state_dict().items()},
    )


def settings(output: Path, **changes: Any) -> RunSettings:
    """A checkpoint and a state after every second step."""
    defaults = {"clips": Path(__file__), "steps": 4, "batch": 1, "learning_rate": 0.1, "workers": 0, "save_every": 2}
    return RunSettings(output=output, **{**defaults, **changes})


@torch.enable_grad()
def go(task: Task, chosen: RunSettings) -> dict[str, Tensor]:
    return load_file(Run(task, chosen, Accelerator(cpu=True)).go())


def state_of(output: Path) -> dict[str, Any]:
    return torch.load(output / "state.pt")


def rows(output: Path) -> list[dict[str, str]]:
    header, *lines = (output / "metrics.csv").read_text().splitlines()
    return [dict(zip(header.split(","), line.split(","), strict=True)) for line in lines]


def test_passes_of_a_step_are_one_large_batch(tmp_path: Path) -> None:
    found = []
    for batch, accumulate in ((1, 4), (2, 2), (4, 1)):
        player, output = Nearest(), tmp_path / str(batch)
        go(toy(player), settings(output, batch=batch, accumulate=accumulate))
        values = [value for _, batch_values, _ in player.seen for value in batch_values]
        assert values == [Drawn()[n] for n in range(16)], "draws come in another order"
        found.append((player.weight.detach(), [(float(row["player0_gradient"]), row["step"]) for row in rows(output)]))
        assert [float(row["distance"]) for row in rows(output)] == pytest.approx(
            [float(row["distance"]) for row in rows(tmp_path / "1")], rel=1e-5
        )
    for weight, gradients in found[1:]:
        torch.testing.assert_close(weight, found[0][0], rtol=1e-5, atol=1e-6)
        assert [g for g, _ in gradients] == pytest.approx([g for g, _ in found[0][1]], rel=1e-5)


def test_every_pass_has_randomness_of_its_own(tmp_path: Path) -> None:
    first, again, other = Nearest(), Nearest(), Nearest()
    go(toy(first), settings(tmp_path / "a", accumulate=2))
    go(toy(again), settings(tmp_path / "b", accumulate=2))
    go(toy(other), settings(tmp_path / "c", accumulate=2, seed=1))
    drawn = [noise for _, _, noise in first.seen]
    assert len(set(drawn)) == 8
    assert drawn == [noise for _, _, noise in again.seen]
    assert not set(drawn) & {noise for _, _, noise in other.seen}


def test_learning_rate(tmp_path: Path) -> None:
    chosen = settings(tmp_path, steps=10, warm_up=3, cool_down=4, learning_rate=1.0)
    rates = [learning_rate(chosen, step) for step in range(10)]
    assert rates == pytest.approx([0.25, 0.5, 0.75, 1, 1, 1, 0.8, 0.6, 0.4, 0.2])
    plain = settings(tmp_path, steps=3, learning_rate=0.2)
    assert [learning_rate(plain, step) for step in range(3)] == [0.2] * 3
    whole = settings(tmp_path, steps=4, warm_up=2, cool_down=2, learning_rate=1.0)
    assert [learning_rate(whole, step) for step in range(4)] == pytest.approx([1 / 3, 2 / 3, 2 / 3, 1 / 3])


def test_the_learning_rate_is_applied(tmp_path: Path) -> None:
    """Adam's first step is as long as the learning rate, whatever the gradient is."""
    for warm_up, length in ((0, 0.1), (1, 0.05), (3, 0.025)):
        player = Nearest()
        go(toy(player), settings(tmp_path / str(warm_up), steps=max(warm_up, 1), warm_up=warm_up))
        state = state_of(tmp_path / str(warm_up))
        assert state["contestants"]["player0"]["optimiser"]["param_groups"][0]["lr"] == pytest.approx(0.1 * 1.0) or warm_up
    player = Nearest()
    go(toy(player), settings(tmp_path / "one", steps=1))
    assert (player.weight - START).abs().tolist() == pytest.approx([0.1] * 3, rel=1e-4)
    player = Nearest()
    go(toy(player), settings(tmp_path / "half", steps=1, warm_up=1))
    assert (player.weight - START).abs().tolist() == pytest.approx([0.05] * 3, rel=1e-4)


def test_a_finished_run_goes_on_when_it_is_given_more_steps(tmp_path: Path) -> None:
    at_once, longer = Nearest(noise=0.3), Nearest(noise=0.3)
    go(toy(at_once), settings(tmp_path / "a"))
    go(toy(Nearest(noise=0.3)), settings(tmp_path / "b", steps=2))
    go(toy(longer), settings(tmp_path / "b"))
    assert torch.equal(longer.weight, at_once.weight)
    assert (tmp_path / "a" / "metrics.csv").read_bytes() == (tmp_path / "b" / "metrics.csv").read_bytes()
    finished = (tmp_path / "b" / "model.safetensors").read_bytes()
    idle = Nearest(noise=0.3)
    go(toy(idle), settings(tmp_path / "b"))
    assert not idle.seen and torch.equal(idle.weight, longer.weight)
    assert (tmp_path / "b" / "model.safetensors").read_bytes() == finished
