"""Trainings whose players are small enough to be reckoned by hand."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch
from accelerate import Accelerator
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.utils.data import Dataset

from tooncrafter_core.training.run.engine import Run
from tooncrafter_core.training.run.task import Loss, Player, Task
from tooncrafter_core.training.settings.run import RunSettings

START = 0.5


class Numbers(NamedTuple):
    values: Tensor
    skipped: int


class Drawn(Dataset[float]):
    """Draw n is a number by n."""

    def __getitem__(self, n: int) -> float:
        return ((7 * n + 3) % 16) / 16


def collate(drawn: Sequence[float]) -> Numbers:
    return Numbers(torch.tensor(drawn), sum(number > 0.5 for number in drawn))


class Nearest(Player):
    """Its weight goes to the mean of the numbers, plus noise; it remembers what it saw."""

    def __init__(self, noise: float = 0.0, begins: int = 0) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.full((3,), START))
        self.noise, self.begins = noise, begins
        self.numbers: list[float] = []
        self.drawn: list[float] = []
        self.steps: list[int] = []
        self.weights: list[Tensor] = []

    def plays(self, step: int) -> bool:
        return step >= self.begins

    def forward(self, batch: Numbers, generator: torch.Generator, step: int) -> Loss:
        drawn = torch.randn((), generator=generator)
        self.numbers += batch.values.tolist()
        self.drawn.append(float(drawn))
        self.steps.append(step)
        self.weights.append(self.weight.detach().clone())
        loss = (self.weight - batch.values[:, None] - self.noise * drawn).square().mean()
        return Loss(loss, {"distance": loss})


def toy(*players: Player) -> Task:
    return Task(
        players={f"player{number}": player for number, player in enumerate(players)},
        draws=Drawn,
        collate=collate,
        strip=lambda: torch.full((3, 8, 8), float(players[0].weight.detach().mean().clamp(0, 1))),
        checkpoint=lambda: {name: tensor.detach().clone() for name, tensor in players[0].state_dict().items()},
    )


def settings(output: Path, **changes: Any) -> RunSettings:
    defaults = {"clips": Path(__file__), "steps": 4, "batch": 1, "learning_rate": 0.1, "workers": 0, "save_every": 2}
    return RunSettings(output=output, **{**defaults, **changes})


@torch.enable_grad()
def go(task: Task, chosen: RunSettings) -> dict[str, Tensor]:
    """Run the task; returns its checkpoint."""
    return load_file(Run(task, chosen, Accelerator(cpu=True)).go())


def state_of(output: Path) -> dict[str, Any]:
    return torch.load(output / "state.pt")


def column(output: Path, name: str) -> list[float]:
    """A column of the run's table; an empty field is not a number."""
    header, *lines = (output / "metrics.csv").read_text().splitlines()
    at = header.split(",").index(name)
    return [float(line.split(",")[at] or "nan") for line in lines]
