"""Nothing that somebody has drawn is replaced by a result, whatever its name."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import torch
from PIL import Image

from tooncrafter_core.files.media import check_contact_sheet, check_output, write_contact_sheet, write_frames

FRAMES = torch.rand(3, 3, 16, 16, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("folder", ["frames", "replaced-frames"])
@pytest.mark.parametrize("kind", ["drawing", "link", "text", "half a drawing"])
def test_a_folder_of_drawings_with_the_names_of_frames(folder: str, kind: str, tmp_path: Path) -> None:
    write_frames(FRAMES, tmp_path / "frames", 10)
    (tmp_path / "frames").rename(tmp_path / folder)
    own = tmp_path / folder / "0001.png"
    Image.new("RGB", (64, 64), "red").save(tmp_path / "drawing.png")
    drawing = (tmp_path / "drawing.png").read_bytes()
    if kind == "link":
        own.unlink()
        own.symlink_to(tmp_path / folder / "0000.png")
    else:
        own.write_bytes({"drawing": drawing, "text": b"text", "half a drawing": drawing[: len(drawing) // 2]}[kind])
    before = own.read_bytes()
    for refused in (
        lambda: check_output(tmp_path / "frames", 16, 16),
        lambda: write_frames(FRAMES, tmp_path / "frames", 10),
    ):
        with pytest.raises(
            ValueError, match=rf"{tmp_path / folder} holds other files \(0001\.png\), which would be lost"
        ):
            refused()
    assert own.read_bytes() == before and own.is_symlink() == (kind == "link")


def test_frames_that_a_power_cut_has_emptied_are_replaced(tmp_path: Path) -> None:
    write_frames(FRAMES, tmp_path / "frames", 10)
    os.truncate(tmp_path / "frames" / "0001.png", 0)
    write_frames(FRAMES, tmp_path / "frames", 10)
    assert all(file.stat().st_size for file in (tmp_path / "frames").iterdir())


@pytest.mark.parametrize("ending", ["png", "jpg", "jpeg", "webp", "bmp", "tif", "tiff"])
def test_a_contact_sheet_takes_the_place_of_a_contact_sheet_only(ending: str, tmp_path: Path) -> None:
    path = tmp_path / f"sheet.{ending}"
    check_contact_sheet(path, 3, 16, 16)
    write_contact_sheet(FRAMES, path)
    if ending != "bmp":  # which has no room for a mark
        check_contact_sheet(path, 3, 16, 16)
    Image.new("RGB", (64, 64), "red").save(path)
    with pytest.raises(ValueError, match=rf"{path} is there and would be lost; name a new file"):
        check_contact_sheet(path, 3, 16, 16)
    path.unlink()
    check_contact_sheet(path, 3, 16, 16)


def test_a_link_to_a_contact_sheet(tmp_path: Path) -> None:
    write_contact_sheet(FRAMES, tmp_path / "sheet.png")
    (tmp_path / "link.png").symlink_to(tmp_path / "sheet.png")
    check_contact_sheet(tmp_path / "link.png", 3, 16, 16)


def test_a_film_takes_the_place_of_any_film(tmp_path: Path) -> None:
    Image.new("RGB", (64, 64), "red").save(tmp_path / "film.webp")
    write_frames(FRAMES, tmp_path / "film.webp", 10)
    with Image.open(tmp_path / "film.webp") as film:
        assert film.n_frames == 3  # type: ignore[attr-defined]


def test_what_a_desktop_puts_into_folders_is_in_nobodys_way(tmp_path: Path) -> None:
    frames = tmp_path / "frames"
    write_frames(FRAMES, frames, 10)
    for name in (".DS_Store", "Thumbs.db", "desktop.ini"):
        (frames / name).write_text("an icon's place")
    write_frames(FRAMES[:2], frames, 10)
    assert sorted(os.listdir(frames)) == ["0000.png", "0001.png"]
