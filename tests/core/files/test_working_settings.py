"""Settings that a model file carries: written, read with it, and refused where they say nothing usable."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from random_checkpoint import MODEL, random_tensors
from safetensors.torch import save_file

from tooncrafter_core import CheckpointError, read_checkpoint
from tooncrafter_core.files.working_settings import METADATA_KEY, WorkingSettings, from_metadata
from tooncrafter_core.training.run.export import write_checkpoint

SETTINGS = WorkingSettings(128, 64, 16, 24, 12, 1.0, 1.5, ((0.5, 0.25, 0.0), (-1.0, 0.0, 1.0)))


def test_a_checkpoint_carries_its_settings(tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    write_checkpoint(random_tensors(MODEL), path, SETTINGS)
    assert read_checkpoint(path).working == SETTINGS
    write_checkpoint(random_tensors(MODEL), path)
    assert read_checkpoint(path).working is None


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("{", "not JSON"),
        ("[]", "expected an object"),
        (json.dumps({"width": 128}), "expected an object"),
        (SETTINGS.to_metadata()[METADATA_KEY].replace('"steps": 12', '"steps": 0'), "steps"),
        (SETTINGS.to_metadata()[METADATA_KEY].replace('"width": 128', '"width": 128.5'), "positive integer"),
        (SETTINGS.to_metadata()[METADATA_KEY].replace("[0.5, 0.25, 0.0]", "[0.5]"), "preview"),
        (SETTINGS.to_metadata()[METADATA_KEY].replace("[0.5, 0.25, 0.0]", "[0.5, null, 0.0]"), "preview"),
    ],
)
def test_broken_settings_are_refused(text: str, says: str, tmp_path: Path) -> None:
    save_file(random_tensors(MODEL), tmp_path / "model.safetensors", {METADATA_KEY: text})
    with pytest.raises(CheckpointError, match=says):
        read_checkpoint(tmp_path / "model.safetensors")


def test_files_of_others_have_none() -> None:
    assert from_metadata(None) is None
    assert from_metadata({"format": "pt"}) is None
