"""Keyframes, a model and a place for results, as the command line is told them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image


@pytest.fixture
def pictures(tmp_path: Path) -> list[str]:
    """Two keyframes."""
    paths = [tmp_path / "first.png", tmp_path / "last.png"]
    for seed, path in enumerate(paths):
        noise = np.random.default_rng(seed).integers(0, 256, (6, 8, 3), dtype=np.uint8)
        Image.fromarray(noise).resize((80, 60)).save(path)
    return [str(path) for path in paths]


@pytest.fixture
def model(tiny_files: tuple[Path, Path]) -> list[str]:
    """A checkpoint, and little for it to do."""
    small = ["--width", "64", "--height", "64", "--steps", "2", "--frames", "3", "--device", "cpu"]
    return ["--checkpoint", str(tiny_files[0]), *small]


@pytest.fixture
def output(tmp_path: Path) -> Path:
    """A folder that does not exist yet."""
    return tmp_path / "made" / "here"
