"""The README's first command does what it says."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

from comfy_harness.server import ROOT

from tooncrafter_core.files.media import read_image


def test_demo_prints_where_its_frames_are(tmp_path: Path) -> None:
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    command = ["bash", str(ROOT / "scripts" / "demo.sh"), "--steps", "1", "--width", "64", "--height", "64"]
    done = subprocess.run(
        [*command, "--output", str(tmp_path)],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    for folder in (tmp_path / "interpolation", tmp_path / "with_sketch"):
        assert f"16 frames: {folder}" in done.stdout
        assert [read_image(file).shape for file in sorted(folder.glob("*.png"))] == [(3, 64, 64)] * 16
        assert folder.with_suffix(".webp").is_file()
