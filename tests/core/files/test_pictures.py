"""Which files a folder and names of pictures stand for."""

from __future__ import annotations

from pathlib import Path

import pytest

from tooncrafter_core.files.pictures import natural_key, picture_files


def files(folder: Path, *names: str) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name in names:
        (folder / name).touch()


def test_numbers_sort_as_numbers() -> None:
    names = ["b1.png", "a10.png", "a2.png", "A1.png", "a02.png", "10.png", "2.png", "a2b10.png", "a2b9.png", ".png"]
    found = ["2.png", "10.png", ".png", "A1.png", "a02.png", "a2.png", "a2b9.png", "a2b10.png", "a10.png", "b1.png"]
    assert sorted(names, key=natural_key) == found


def test_a_folder_is_its_pictures_in_order(tmp_path: Path) -> None:
    files(tmp_path / "keys", "10.png", "2.PNG", "1.jpg", "notes.txt", ".hidden.png")
    files(tmp_path / "keys" / "inside.png", "3.png")
    for name in ("keys", "keys/", str(tmp_path / "keys")):
        assert [file.name for file in picture_files([name], tmp_path)] == ["1.jpg", "2.PNG", "10.png"]


def test_names_stay_in_the_order_given(tmp_path: Path) -> None:
    files(tmp_path, "b.png", "a.png")
    files(tmp_path / "more", "1.png")
    found = picture_files(["b.png", "", " more ", str(tmp_path / "a.png"), "b.png"], tmp_path)
    assert [file.name for file in found] == ["b.png", "1.png", "a.png", "b.png"]


@pytest.mark.parametrize(
    ("names", "message"),
    [
        ([], "no pictures are named; expected a folder"),
        (["", "  "], "no pictures are named"),
        (["nowhere"], "no picture or folder 'nowhere'; expected one in "),
        (["x" * 5000], "no picture or folder 'xxx"),
        (["a\0b"], "no picture or folder"),
        (["empty"], r"empty has no pictures\. Put some into it"),
        (["texts"], r"texts has no pictures; it has 1 other entries\. Put"),
    ],
)
def test_what_is_not_there(names: list[str], message: str, tmp_path: Path) -> None:
    files(tmp_path / "empty")
    files(tmp_path / "texts", "notes.txt")
    with pytest.raises(ValueError, match=message):
        picture_files(names, tmp_path)
