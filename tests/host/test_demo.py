"""The README's first command does what it says."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import demo
import pytest
from comfy_harness.server import ROOT, ComfyServer

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


def test_the_demo_starts_from_another_folder(tmp_path: Path) -> None:
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    command = [sys.executable, str(ROOT / "scripts" / "demo.py"), "--help"]
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0 and "two or more pictures" in done.stdout, done.stderr


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["nope.png", str(demo.DRAWN[0])], "there is no picture nope.png"),
        ([str(demo.DRAWN[0])], r"got 1 keyframe\(s\); expected 2 or more"),
        ([str(demo.DRAWN[0]), __file__], "test_demo.py is not a picture"),
        (["--checkpoint", "nope.ckpt"], "no weight file at nope.ckpt"),
        (["--checkpoint", __file__], "test_demo.py is not a weight file"),
        (["--width", "1"], "width is 1; expected 8 to 16384 pixels"),
        (["--guidance-scale", "nan"], "guidance_scale is nan; expected 0 to 100"),
        (["--output", "."], "interpolation holds other files"),
    ],
)
def test_mistakes_are_told_before_a_server_starts(
    arguments: list[str], message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And nothing is lost that is not the demo's."""
    (tmp_path / "interpolation").mkdir()
    (tmp_path / "interpolation" / "notes.txt").write_text("mine")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["demo.py", *arguments])
    monkeypatch.setattr(ComfyServer, "__enter__", lambda _: pytest.fail("a server was started"))
    with pytest.raises(SystemExit, match=message):
        demo.main()
    assert (tmp_path / "interpolation" / "notes.txt").read_text() == "mine"
