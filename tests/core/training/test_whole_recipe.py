"""The trainings of a model one after the other, each from the one before, and pictures drawn with what each wrote."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from accelerate.state import AcceleratorState
from small_training import FRAMES, SIDE, Workshop, moving_square, run

from tooncrafter_core import Settings, ToonCrafter, interpolate, read_checkpoint

RECIPE: dict[str, dict[str, Any]] = {
    "autoencoder": {},
    "base": {"domains": ["film"]},
    "rectify": {"variant": "IV"},
    "decoder": {"adversarial_from": 0},
    "sketch": {},
}


@pytest.fixture(scope="module")
def checkpoints(workshop: Workshop, tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Path]]:
    """In bfloat16, with gradient checkpointing and a process that reads ahead."""
    folder = tmp_path_factory.mktemp("recipe")
    found: dict[str, Path] = {}
    for name, changes in RECIPE.items():
        if name != "autoencoder":
            changes = {**changes, "start": found["decoder" if name == "sketch" else [*found][-1]]}
        settings = workshop.settings(
            name, folder / name, steps=2, precision="bf16", gradient_checkpointing=True, workers=1, **changes
        )
        found[name] = run(settings)
    AcceleratorState._reset_state(reset_partial_state=True)
    yield found


@pytest.mark.parametrize("name", RECIPE)
def test_every_checkpoint_draws_pictures(name: str, checkpoints: dict[str, Path]) -> None:
    sketch = checkpoints[name] if name == "sketch" else None
    path = checkpoints["decoder" if name == "sketch" else name]
    checkpoint = read_checkpoint(path)
    assert not checkpoint.missing_parts
    assert checkpoint.config.autoencoder.dual_reference == (name in ("decoder", "sketch"))
    assert all(tensor.dtype == torch.float32 and tensor.isfinite().all() for tensor in checkpoint.tensors.values())
    frames = interpolate(
        ToonCrafter.load(path, sketch, dtype=torch.float32),
        moving_square(0)[[0, -1]],
        Settings(width=SIDE, height=SIDE, steps=2, frames=FRAMES, prompt="square 0"),
        sketches={1: torch.eye(SIDE).expand(3, -1, -1)} if sketch else None,
    )
    assert frames.shape == (FRAMES, 3, SIDE, SIDE)
    assert frames.isfinite().all()
    assert frames.std() > 0.01


def test_metrics_are_finite(checkpoints: dict[str, Path]) -> None:
    for path in checkpoints.values():
        header, *rows = (path.parent / "metrics.csv").read_text().splitlines()
        assert len(rows) == 2
        for row in rows:
            values = dict(zip(header.split(","), map(float, row.split(",")), strict=True))
            assert all(abs(value) < 1e5 for value in values.values()), values
            assert all(value > 0 for key, value in values.items() if key.endswith("_gradient")), values
