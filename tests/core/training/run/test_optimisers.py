"""Which optimiser trains which parameter, that runs go on with both, and training attention."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from small_training import Workshop, run
from torch import nn
from torch.optim import AdamW, Muon

from tooncrafter_core.models.layers import scaled_dot_product_attention
from tooncrafter_core.training.run.attention import training_attention
from tooncrafter_core.training.run.optimisers import make_optimisers


def test_muon_trains_matrices_and_adam_the_rest(workshop: Workshop, tmp_path: Path) -> None:
    model = nn.Sequential(nn.Linear(4, 4), nn.Conv2d(4, 4, 1), nn.GroupNorm(2, 4))
    muon, adam = make_optimisers(list(model.parameters()), workshop.settings("base", tmp_path, optimiser="muon"))
    assert isinstance(muon, Muon) and isinstance(adam, AdamW)
    assert [p.ndim for p in muon.param_groups[0]["params"]] == [2]
    assert len(adam.param_groups[0]["params"]) == 5
    (adam,) = make_optimisers(list(model.parameters()), workshop.settings("base", tmp_path))
    assert len(adam.param_groups[0]["params"]) == 6


def test_a_run_with_muon_goes_on_where_it_stopped(workshop: Workshop, tmp_path: Path) -> None:
    changes = {"optimiser": "muon", "precision": "no", "segments": 2}
    whole = load_file(run(workshop.settings("base", tmp_path / "whole", steps=4, **changes)))
    run(workshop.settings("base", tmp_path / "parts", steps=2, **changes))
    parts = load_file(run(workshop.settings("base", tmp_path / "parts", steps=4, **changes)))
    for name, tensor in whole.items():
        torch.testing.assert_close(parts[name], tensor, msg=name)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_training_attention_is_attention(dtype: torch.dtype) -> None:
    q, k, v = (torch.randn(2, n, 32).to(dtype).requires_grad_() for n in (6, 5, 5))
    tolerance = {"atol": 2e-2, "rtol": 2e-2} if dtype is torch.bfloat16 else {"atol": 1e-6, "rtol": 1e-5}
    weights = torch.randn(2, 6, 32).to(dtype)
    with torch.enable_grad():
        found, expected = (f(q, k, v, 4) for f in (training_attention, scaled_dot_product_attention))
        gradients = [torch.autograd.grad((out * weights).sum(), (q, k, v)) for out in (found, expected)]
    assert found.dtype == dtype
    torch.testing.assert_close(found, expected, **tolerance)
    for a, b in zip(*gradients, strict=True):
        torch.testing.assert_close(a, b, **(tolerance | {"atol": 5e-2} if dtype is torch.bfloat16 else tolerance))
