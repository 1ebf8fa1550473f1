"""What the engine needs to know of a training."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.utils.data import Dataset

from ...files.working_settings import WorkingSettings


class Loss(NamedTuple):
    """A loss (0-d), and what to write down of it."""

    total: Tensor
    parts: Mapping[str, Tensor]


class Player(nn.Module):
    """A module whose call is a loss and whose parameters that require grad are what an optimiser trains.

    A module it only looks at (the discriminator, for the decoder) must not be registered in it.
    """

    def plays(self, step: int) -> bool:
        """Whether it takes this step."""
        return True

    def forward(self, batch: Any, generator: torch.Generator, step: int) -> Loss:
        """The loss of one batch at one step; everything random comes from the generator."""
        raise NotImplementedError


@dataclass(frozen=True)
class Task:
    """One training.

    Attributes:
        players: take their steps in turn, in this order. The first is the model; its weights are averaged.
        draws: gives the samples, of which draw n is the same whenever it is asked for. That may take long, so it is
            called when nothing else is left that could be refused, and gives the same samples each time.
        collate: samples to a batch, which has an entry `skipped`.
        strip: pictures of what the model does now (3, H, W) in [0, 1].
        checkpoint: all tensors of a checkpoint in the published layout, the model as it is now.
        working: what the checkpoint says it works best with.
        beside: further files of the same kind, by the names they have beside the checkpoint.
    """

    players: Mapping[str, Player]
    draws: Callable[[], Dataset[Any]]
    collate: Callable[[Sequence[Any]], Any]
    strip: Callable[[], Tensor]
    checkpoint: Callable[[], dict[str, Tensor]]
    working: WorkingSettings | None = None
    beside: Mapping[str, Callable[[], dict[str, Tensor]]] = field(default_factory=dict)
