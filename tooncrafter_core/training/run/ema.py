"""An exponential moving average of a module's trained parameters."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from .shards import divided_as


class EMA:
    """Averages of the parameters that require grad, float32, beside the module.

    The decay rises from 0 as (1 + n) / (10 + n) after n updates, until it reaches `decay`, so that the first
    weights are soon forgotten.
    """

    def __init__(self, module: nn.Module, decay: float) -> None:
        self._parameters = {name: p for name, p in module.named_parameters() if p.requires_grad}
        self._decay = decay
        self._updates = 0
        self._averages = {name: p.detach().float().clone() for name, p in self._parameters.items()}

    @torch.no_grad()
    def update(self) -> None:
        """Take the parameters of a finished step in."""
        decay = min(self._decay, (1 + self._updates) / (10 + self._updates))
        self._updates += 1
        for name, average in self._averages.items():
            average.lerp_(self._parameters[name].float(), 1 - decay)

    @contextmanager
    def applied(self) -> Iterator[None]:
        """The module with its averages as parameters."""
        own = {name: p.detach().clone() for name, p in self._parameters.items()}
        self._set(self._averages)
        try:
            yield
        finally:
            self._set(own)

    def state_dict(self) -> dict[str, object]:
        return {"updates": self._updates, "averages": self._averages}

    @torch.no_grad()
    def load_state_dict(self, state: dict) -> None:
        """Go on from saved averages.

        Raises:
            ValueError: they are of other parameters.
        """
        if {name: a.shape for name, a in state["averages"].items()} != {n: a.shape for n, a in self._averages.items()}:
            raise ValueError("averages of other parameters came; expected those of the trained ones")
        self._updates = state["updates"]
        for name, average in state["averages"].items():
            self._averages[name].copy_(divided_as(average, self._averages[name]))

    @torch.no_grad()
    def _set(self, values: dict[str, Tensor]) -> None:
        for name, parameter in self._parameters.items():
            parameter.copy_(values[name])
