"""Time and memory are those of a process of its own."""

from __future__ import annotations

import sys
from contextlib import AbstractContextManager
from pathlib import Path

import pytest
import torch

from tooncrafter_core.evaluation.report import cost
from tooncrafter_core.toon_crafter import ToonCrafter


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


@pytest.mark.parametrize("settings", ["[]", "3", "{", '{"colour": 3}', "[" * 100_000])
def test_what_are_no_settings(
    settings: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["cost", "--model", "nope.ckpt", "--settings", settings])
    assert cost.main() == 2
    assert 'expected an object such as {"steps": 4}' in capsys.readouterr().err


def test_it_is_in_the_precision_of_what_else_is_measured(
    tiny_files: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Also on a CPU on which the core computes in another by default."""
    worked, at_work = set[torch.dtype](), ToonCrafter.at_work

    def watched(self: ToonCrafter, *modules: torch.nn.Module | None) -> AbstractContextManager[None]:
        worked.add(self.dtype)
        return at_work(self, *modules)

    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"avx512_bf16": True}, raising=False)
    monkeypatch.setattr(ToonCrafter, "at_work", watched)
    settings = '{"width": 16, "height": 16, "steps": 1, "frames": 2, "guidance_scale": 1.0}'
    monkeypatch.setattr(sys, "argv", ["cost", "--model", str(tiny_files[0]), "--settings", settings, "--threads", "1"])
    assert cost.main() == 0 and "seconds" in capsys.readouterr().out
    assert worked == {torch.float32}
