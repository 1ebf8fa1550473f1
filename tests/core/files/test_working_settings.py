"""Settings that a model file carries: written, read with it, and refused where they say nothing usable."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from random_checkpoint import MODEL, random_tensors
from safetensors.torch import save_file

from tooncrafter_core import CheckpointError, read_checkpoint
from tooncrafter_core.files.working_settings import METADATA_KEY, WorkingSettings, from_metadata, read_working_settings
from tooncrafter_core.training.run.export import write_checkpoint

SETTINGS = WorkingSettings(128, 64, 16, 24, 12, 1.0, 1.5, ((0.5, 0.25, 0.0), (-1.0, 0.0, 1.0)), clean_end=True)


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
        (json.dumps({"colour": 128}), "expected an object"),
        (SETTINGS.to_metadata()[METADATA_KEY].replace('"steps": 12', '"steps": 0'), "steps"),
        (SETTINGS.to_metadata()[METADATA_KEY].replace('"width": 128', '"width": 128.5'), "positive integer"),
        (SETTINGS.to_metadata()[METADATA_KEY].replace("[0.5, 0.25, 0.0]", "[0.5]"), "preview"),
        (SETTINGS.to_metadata()[METADATA_KEY].replace("[0.5, 0.25, 0.0]", "[0.5, null, 0.0]"), "preview"),
        (SETTINGS.to_metadata()[METADATA_KEY].replace('"clean_end": true', '"clean_end": 1'), "true or false"),
    ],
)
def test_broken_settings_are_refused(text: str, says: str, tmp_path: Path) -> None:
    save_file(random_tensors(MODEL), tmp_path / "model.safetensors", {METADATA_KEY: text})
    with pytest.raises(CheckpointError, match=says):
        read_checkpoint(tmp_path / "model.safetensors")


@pytest.mark.parametrize(
    ("steps", "guidance_scale", "says"),
    [
        (4, 1.0, None),
        (8, 2.0, None),
        (2, 1.0, None),
        (9, 1.0, "lora works best with steps 4; here it is steps 9,"),
        (1, 7.5, "steps 4 and guidance_scale 1; here it is steps 1 and guidance_scale 7.5,"),
        (4, 2.5, "best with guidance_scale 1; here it is guidance_scale 2.5,"),
    ],
)
def test_what_is_far_is_told(steps: int, guidance_scale: float, says: str | None) -> None:
    """By a file that says no more than that."""
    working = from_metadata(WorkingSettings(steps=4, guidance_scale=1.0).to_metadata())
    assert working == WorkingSettings(steps=4, guidance_scale=1.0)
    warning = working.warning("lora", steps, guidance_scale, clean_end=False)
    assert warning is None if says is None else says in str(warning)
    assert WorkingSettings(width=128).warning("model", steps, guidance_scale, clean_end=False) is None


def test_another_end_than_wanted_is_told() -> None:
    working = WorkingSettings(steps=4, guidance_scale=1.0, clean_end=True)
    assert working.warning("lora", 4, 1.0, clean_end=True) is None
    says = "lora works best with clean_end on; here it is clean_end off,"
    assert says in str(working.warning("lora", 4, 1.0, clean_end=False))


def test_only_safetensors_files_have_them(tmp_path: Path) -> None:
    torch.save({}, tmp_path / "model.ckpt")
    assert read_working_settings(tmp_path / "model.ckpt") is None


def test_files_of_others_have_none() -> None:
    assert from_metadata(None) is None
    assert from_metadata({"format": "pt"}) is None
