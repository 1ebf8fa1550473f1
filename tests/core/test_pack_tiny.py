"""The bundled model's files are replaced together, and only by what can be used."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest
import torch
from random_checkpoint import random_tensors
from small_training import MODEL
from torch import Tensor
from train import pack_tiny
from train.pack_tiny import TINY, pack_both

from tooncrafter_core import ToonCrafter, read_checkpoint
from tooncrafter_core.files.working_settings import WorkingSettings

NAMES = ("tooncrafter-tiny.safetensors", "tooncrafter-tiny-sketch.safetensors")


@pytest.fixture(scope="module")
def bundled() -> list[Mapping[str, Tensor]]:
    return [read_checkpoint(TINY / name).tensors for name in NAMES]


def test_what_is_packed_can_be_loaded(bundled: list[Mapping[str, Tensor]], tmp_path: Path) -> None:
    model, sketch = bundled
    pack_both(model, sketch, WorkingSettings(steps=4), tmp_path / "new")
    assert sorted(file.name for file in (tmp_path / "new").iterdir()) == sorted(NAMES)
    packed = ToonCrafter.load(*(tmp_path / "new" / name for name in NAMES))
    assert torch.equal(packed.unet.state_dict()["out.2.bias"], model["model.diffusion_model.out.2.bias"])


def test_what_cannot_be_used_leaves_the_files_as_they_were(
    bundled: list[Mapping[str, Tensor]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model, sketch = bundled
    for name in NAMES:
        (tmp_path / name).write_text("before")
    damaged = {name: tensor for name, tensor in model.items() if name != "model.diffusion_model.out.2.bias"}
    for message, wrong in {
        "does not fit the model": (damaged, sketch),
        "sketch": (random_tensors(MODEL), sketch),
        "has no sketch": (model, model),
    }.items():
        with pytest.raises(ValueError, match=message):
            pack_both(*wrong, WorkingSettings(), tmp_path)
    monkeypatch.setattr(pack_tiny, "LIMIT", 1e6)
    with pytest.raises(ValueError, match=r"the two files take [0-9.]+ MB; expected at most 1"):
        pack_both(model, sketch, WorkingSettings(), tmp_path)
    assert {file.name: file.read_text() for file in tmp_path.iterdir()} == dict.fromkeys(NAMES, "before")
