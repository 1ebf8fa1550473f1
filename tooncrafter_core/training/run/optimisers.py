"""What trains, with its optimisers: Adam, or Muon for matrices (Jordan et al. 2024) and Adam for what is none."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from accelerate import Accelerator
from torch import nn
from torch.optim import AdamW, Muon, Optimizer

from ..settings.run import RunSettings
from .shards import divide, divided_as, divided_moments
from .state import fits, same_tensors
from .task import Player


def make_optimisers(trained: Sequence[nn.Parameter], settings: RunSettings) -> list[Optimizer]:
    """Optimisers that together train all the parameters, each of them one."""
    by_muon = [p for p in trained if settings.optimiser == "muon" and p.ndim == 2]
    by_adam = [p for p in trained if not any(p is other for other in by_muon)]
    rate = settings.learning_rate
    made: list[Optimizer] = []
    if by_muon:
        made.append(Muon(by_muon, lr=rate, weight_decay=0.0, adjust_lr_fn="match_rms_adamw"))
    if by_adam:
        made.append(AdamW(by_adam, lr=rate, betas=(0.9, 0.99), weight_decay=0.0))
    return made


class Contestant:
    """A player with its optimiser."""

    def __init__(self, player: Player, settings: RunSettings, accelerator: Accelerator) -> None:
        self.player = player
        divided = settings.sharded and accelerator.num_processes > 1
        self.call: nn.Module = accelerator.prepare_model(player, evaluation_mode=divided)  # no copies kept alike then
        if divided:
            divide(player, accelerator.device, accelerator.num_processes)
        self.trained = [p for p in player.parameters() if p.requires_grad]
        self.optimisers = [accelerator.prepare_optimizer(made) for made in make_optimisers(self.trained, settings)]

    def step(self, rate: float) -> None:
        """Apply the gradients."""
        for optimiser in self.optimisers:
            for group in optimiser.param_groups:
                group["lr"] = rate
            optimiser.step()

    def forget_gradients(self) -> None:
        for optimiser in self.optimisers:
            optimiser.zero_grad(set_to_none=True)

    def state_dict(self) -> dict[str, Any]:
        states = [optimiser.state_dict() for optimiser in self.optimisers]
        return {"parameters": [p.detach() for p in self.trained], "optimisers": states}

    def fits(self, state: dict[str, Any]) -> bool:
        """Whether a state is of these parameters and optimisers."""
        if len(state["optimisers"]) != len(self.optimisers) or not same_tensors(state["parameters"], self.trained):
            return False
        return all(fits(o.optimizer, kept) for o, kept in zip(self.optimisers, state["optimisers"], strict=True))

    @torch.no_grad()
    def load_state_dict(self, state: dict[str, Any]) -> None:
        for parameter, saved in zip(self.trained, state["parameters"], strict=True):
            parameter.copy_(divided_as(saved, parameter))
        for optimiser, saved in zip(self.optimisers, state["optimisers"], strict=True):
            own = optimiser.state_dict()["param_groups"]  # rates and the like are this run's
            optimiser.load_state_dict({"state": divided_moments(saved["state"], optimiser), "param_groups": own})
