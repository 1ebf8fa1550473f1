"""Names that are too long, hold NUL or are not UTF-8: they work, or the message says what is the matter with them."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from tooncrafter_core import CheckpointError, read_checkpoint
from tooncrafter_core.__main__ import main
from tooncrafter_core.batch.shots.shot_list import read_shots
from tooncrafter_core.data.prepare.film import open_film
from tooncrafter_core.evaluation.clips import frame_files
from tooncrafter_core.evaluation.methods.videos import read_video
from tooncrafter_core.files.media import check_contact_sheet, check_output, read_image, write_frames
from tooncrafter_core.training.clips.manifest import read_manifest
from tooncrafter_core.training.settings.run import read_settings
from tooncrafter_core.training.settings.tasks import AutoencoderSettings

FRAMES = torch.rand(2, 3, 16, 16, generator=torch.Generator().manual_seed(0))
LONG = "x" * 300
ODD = os.fsdecode(b"\xff\xfe")
on_linux = pytest.mark.skipif(sys.platform != "linux", reason="names are UTF-8 on other systems")
OPENED: dict[str, Callable[[Path], Any]] = {
    "checkpoint.safetensors": read_checkpoint,
    "checkpoint.ckpt": read_checkpoint,
    "picture.png": read_image,
    "shots.jsonl": read_shots,
    "clips.jsonl": read_manifest,
    "settings.json": lambda path: read_settings(AutoencoderSettings, path),
    "film.mkv": open_film,
    "folder": frame_files,
}


@pytest.mark.parametrize("name", OPENED)
@pytest.mark.parametrize("made", [LONG + "{}", LONG + "/{}", "nul\0{}", "absent-{}"])
def test_a_file_that_cannot_be_there(name: str, made: str, tmp_path: Path) -> None:
    with pytest.raises((FileNotFoundError, ValueError)) as raised:
        OPENED[name](tmp_path / made.format(name))
    assert name in str(raised.value) and "rrno" not in str(raised.value)


@pytest.mark.parametrize("name", ["o.gif", "o.mp4", "o"])
@pytest.mark.parametrize("made", [LONG + "{}", LONG + "/{}", "x" * 250 + "{}", "nul\0{}", "half\ud800{}"])
def test_a_result_that_cannot_be_there(name: str, made: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"cannot write .*: no file can be made there|has a character that no name"):
        check_output(tmp_path / made.format(name), 16, 16)
    with pytest.raises(ValueError, match=r"cannot write .*: no file can be made there|has a character that no name"):
        check_contact_sheet(tmp_path / made.format("o.png"), 3, 16, 16)


@pytest.mark.parametrize("source", [LONG, LONG + ".csv", LONG + "/a"])
def test_shots_of_what_cannot_be_there(source: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["shots", str(tmp_path / source), "-o", str(tmp_path / "shots.jsonl")]) == 2
    assert capsys.readouterr().err.startswith("error: there is no folder or exposure sheet")


@on_linux
def test_weights_whose_name_is_not_utf8(
    tiny_tensors: dict[str, Tensor], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / f"{ODD}.ckpt"
    with path.open("wb") as file:
        torch.save(tiny_tensors, file)
    found = read_checkpoint(path).tensors
    assert all(torch.equal(found[name], tensor) for name, tensor in tiny_tensors.items())
    assert main(["inspect", str(path)]) == 0
    assert capsys.readouterr().out.startswith("\\xff\\xfe.ckpt: ")
    (tmp_path / ODD).mkdir()
    for other in (path.with_suffix(".safetensors"), tmp_path / ODD / "plain.safetensors"):
        save_file({"weight": torch.zeros(1)}, other)
        with pytest.raises(CheckpointError, match=r"\\xff\\xfe.*\.safetensors is not UTF-8; rename the file"):
            read_checkpoint(other)


@on_linux
@pytest.mark.parametrize("ending", [".gif", ".webp", ".mp4", ""])
def test_pictures_whose_name_is_not_utf8(ending: str, tmp_path: Path) -> None:
    path = tmp_path / f"{ODD}{ending}"
    write_frames(FRAMES, path, 8)
    if ending == ".mp4":
        assert read_video(path).shape == FRAMES.shape
    else:
        assert read_image(path if ending else path / "0000.png").shape == FRAMES[0].shape


@on_linux
def test_lists_are_utf8(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_frames(FRAMES, tmp_path / ODD, 8)
    assert main(["shots", str(tmp_path / ODD), "--frames", "3", "-o", str(tmp_path / "shots.jsonl")]) == 2
    assert "0000.png is not UTF-8; rename the file" in capsys.readouterr().err
    with pytest.raises(ValueError, match="is not UTF-8; rename"):
        frame_files(tmp_path)
    write_frames(FRAMES, tmp_path / f"{ODD}.mp4", 8)
    with pytest.raises(ValueError, match="is not UTF-8; rename"):
        open_film(tmp_path / f"{ODD}.mp4")
