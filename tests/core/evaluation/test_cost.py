"""Time and memory are those of a process of its own."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from tooncrafter_core.evaluation.report import cost


def test_cost_is_that_of_a_fresh_process(tiny_files: tuple[Path, Path]) -> None:
    held = torch.ones(200 * 2**20)  # 800 MB that the other process does not have
    spent = cost.measure(
        tiny_files[0], {"width": 64, "height": 64, "steps": 1, "frames": 2, "guidance_scale": 1.0}, threads=1
    )
    assert 100e6 < spent["peak_bytes"] < cost.peak_bytes() - held.nbytes // 2
    assert spent["seconds"] > 0 and spent["load_seconds"] > 0 and spent["steps"] == 1


def test_a_failed_measurement_says_why(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"(?s)measuring time and memory failed.*missing\.ckpt"):
        cost.measure(tmp_path / "missing.ckpt", {})
