"""The command that measures lengths: what it writes, and that it goes on where it stopped."""

from __future__ import annotations

from pathlib import Path

import pytest
from perceptual_files import blurred_alex, save
from PIL import Image

from tooncrafter_core.evaluation import length
from tooncrafter_core.evaluation.scenes import SIZE

TINY = Path(__file__).parents[3] / "assets" / "tooncrafter-tiny" / "tooncrafter-tiny.safetensors"


def test_lengths_are_measured_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    distance, out = save(tmp_path / "distance.pth", blurred_alex()), tmp_path / "out"
    given = ["--model", str(TINY), "--perceptual", str(distance), "--out", str(out), "--steps", "1", "--scenes", "1"]
    assert length.main([*given, "--frames", "3", "17"]) == 0
    table = (out / "lengths.md").read_text()
    rows = [line.split(" | ") for line in table.splitlines()[2:]]
    assert [row[1] for row in rows] == ["1", "3"], "runs"
    assert rows[0][4:] == ["median 1.0, largest 1.0", "0 of 1 |"], "of 3 frames one is measured: worst and mean are one"
    with Image.open(out / "sheets" / "00_17.png") as sheet:
        assert sheet.size == (16 * SIZE[0], SIZE[1])
    monkeypatch.setattr(length, "interpolate", None)
    assert length.main([*given, "--frames", "3", "17"]) == 0
    assert (out / "lengths.md").read_text() == table
    monkeypatch.setattr(length, "VERSION", "of other frames")
    with pytest.raises(TypeError, match="not callable"):
        length.main([*given, "--frames", "3"])


def test_the_ceiling_is_of_true_frames(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """They come back nearer than drawn ones, and nothing is drawn."""
    distance, out = save(tmp_path / "distance.pth", blurred_alex()), tmp_path / "out"
    given = ["--model", str(TINY), "--perceptual", str(distance), "--out", str(out), "--steps", "2", "--scenes", "1"]

    def mean(*more: str) -> float:
        assert length.main([*given, "--frames", "17", *more]) == 0
        return float((out / "lengths.md").read_text().splitlines()[2].split(" | ")[3])

    drawn = mean()
    monkeypatch.setattr(length, "interpolate", None)
    assert mean("--ceiling") < drawn


@pytest.mark.parametrize("frames", ["2", "1", "1001"])
def test_a_length_that_cannot_be_measured(
    frames: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Before others are."""
    monkeypatch.setattr(length, "interpolate", None)
    given = ["--model", str(TINY), "--perceptual", "nope.pth", "--out", str(tmp_path / "out"), "--frames", "3", frames]
    assert length.main(given) == 2
    assert f"error: --frames is {frames}; expected " in capsys.readouterr().err


def test_a_table_of_somebody_elses_is_kept(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(length, "interpolate", None)
    table, distance = tmp_path / "lengths.md", save(tmp_path / "distance.pth", blurred_alex())
    table.write_text("mine")
    assert length.main(["--model", str(TINY), "--perceptual", str(distance), "--out", str(tmp_path)]) == 2
    assert "lengths.md is there, would be lost, and is of no earlier run" in capsys.readouterr().err
    assert table.read_text() == "mine"


def test_a_model_that_is_not_there(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    given = ["--model", str(tmp_path / "none.safetensors"), "--perceptual", str(tmp_path / "no.pth")]
    assert length.main([*given, "--out", str(tmp_path / "out")]) == 2
    assert "none.safetensors" in capsys.readouterr().err
