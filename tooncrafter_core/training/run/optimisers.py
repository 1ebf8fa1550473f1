"""The optimisers of a training: Adam, or Muon for matrices (Jordan et al. 2024) and Adam for what is none."""

from __future__ import annotations

from collections.abc import Sequence

from torch import nn
from torch.optim import AdamW, Muon, Optimizer

from .settings import RunSettings


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
