"""Which precision the core takes where none is named, and that the small model draws the same in it."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from tooncrafter_core.__main__ import main
from tooncrafter_core.toon_crafter import ToonCrafter, default_dtype

ROOT = Path(__file__).parents[2]
TINY = ROOT / "assets" / "tooncrafter-tiny" / "tooncrafter-tiny.safetensors"


@pytest.mark.parametrize(
    ("capabilities", "device", "expected"),
    [
        ({"avx512_bf16": True, "amx_bf16": False}, "cpu", torch.bfloat16),
        ({"avx512_bf16": False, "amx_bf16": True}, "cpu", torch.bfloat16),
        ({"avx512_bf16": False, "amx_bf16": False}, "cpu", torch.float32),
        ({"avx512_f": True}, "cpu", torch.float32),
        ({"avx512_bf16": True}, "cuda", torch.float32),
        (None, "cpu", torch.float32),
    ],
)
def test_by_what_the_cpu_has(
    capabilities: dict[str, bool] | None, device: str, expected: torch.dtype, monkeypatch: pytest.MonkeyPatch
) -> None:
    """None stands for a PyTorch that does not say."""
    if capabilities is None:
        monkeypatch.delattr(torch.cpu, "get_capabilities", raising=False)
    else:
        monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: capabilities, raising=False)
    assert default_dtype(device) == expected
    if device == "cpu":
        assert ToonCrafter.load(TINY).dtype == expected
        assert ToonCrafter.load(TINY, dtype=torch.float16).dtype == torch.float16


@pytest.mark.parametrize("native", [True, False])
def test_the_command_line_takes_it(
    native: bool, tiny_files: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Seen by what is drawn: as with the precision named, and not as with the other."""
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"avx512_bf16": native}, raising=False)
    keyframes = [str(ROOT / "assets" / "keyframes" / name) for name in ("first.png", "last.png")]
    drawn = {}
    for name, dtype in {"default": [], "bfloat16": ["--dtype", "bfloat16"], "float32": ["--dtype", "float32"]}.items():
        small = ["--width", "32", "--height", "24", "--frames", "4", "--steps", "1", "--device", "cpu"]
        main(["interpolate", *keyframes, "-o", str(tmp_path / name), "-c", str(tiny_files[0]), *small, *dtype])
        drawn[name] = [file.read_bytes() for file in sorted((tmp_path / name).iterdir())]
    taken, other = ("bfloat16", "float32") if native else ("float32", "bfloat16")
    assert drawn["default"] == drawn[taken] != drawn[other]


def test_bfloat16_is_within_a_level() -> None:
    """Of 255, on average in each frame: what makes it a default. On a CPU that does not compute in it, slowly."""
    command = [sys.executable, str(ROOT / "scripts" / "measure" / "dtype.py"), "--scenes", "1", "--steps", "2"]
    told = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    measured = re.search(r"off by ([\d.]+) levels on average, ([\d.]+) in the worst frame", told)
    assert measured is not None, told
    assert 0 < float(measured[1]) <= float(measured[2]) < 1
