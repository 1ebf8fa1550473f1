"""Places for results: what is told where nothing can be written, and that nothing else is."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import torch

import tooncrafter_core
from tooncrafter_core.files.media import check_output, write_frames
from tooncrafter_core.files.whole import check_file, check_page, written_whole


def test_places_where_nothing_can_be_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "frames.gif").mkdir()
    (tmp_path / "file").touch()
    monkeypatch.chdir(tmp_path)
    for path, said in {
        tmp_path / "frames.gif": "is a folder; expected the name of a file",
        tmp_path / "file" / "frames": "file is a file, not a folder",
        Path("."): "cannot be replaced as a whole; name a folder in it",
        tmp_path.parent: "cannot be replaced as a whole",
        Path("/proc"): "cannot be replaced as a whole",
        Path("/proc/frames.gif"): "no file can be made there",
        tmp_path / ("a" * 250 + ".gif"): "no file can be made there",
        tmp_path / "unfinished-frames": "results in work have names with unfinished-",
        tmp_path / "Replaced-frames.gif": "results in work have names with",
    }.items():
        with pytest.raises(ValueError, match=said):
            check_output(path, 16, 16)


def test_a_link_to_itself(tmp_path: Path) -> None:
    (tmp_path / "loop.gif").symlink_to("loop.gif")
    with pytest.raises(ValueError, match=r"loop\.gif is a link that leads back to itself"):
        check_output(str(tmp_path / "loop.gif"), 64, 64)
    with pytest.raises(ValueError, match=r"loop\.gif is a link that leads back to itself"):
        check_output(str(tmp_path / "loop.gif" / "film.gif"), 64, 64)


@pytest.mark.parametrize("kind", ["file", "link to a folder", "dangling link", "pipe"])
def test_what_is_in_the_way_is_told_and_left_alone(kind: str, tmp_path: Path) -> None:
    """A file was removed, a folder that a link leads to emptied; for the others a write never ended."""
    way, mine, path = tmp_path / "unfinished-c.txt", tmp_path / "mine", tmp_path / "c.txt"
    mine.mkdir()
    (mine / "treasure").touch()
    if kind == "file":
        way.write_text("mine")
    elif kind == "pipe":
        os.mkfifo(way)
    else:
        way.symlink_to(mine if kind == "link to a folder" else tmp_path / "nowhere")
    with pytest.raises(ValueError, match="in the way of what is written; remove or rename it"):
        check_file(path)
    with pytest.raises(ValueError, match="in the way"), written_whole(path):
        pytest.fail("it was begun")
    assert os.path.lexists(way) and (mine / "treasure").exists() and not path.exists()


def test_a_page_of_somebody_elses_is_kept(tmp_path: Path) -> None:
    """One of ours is replaced, and what a power cut has left of one."""
    page = tmp_path / "index.html"
    check_page(page)
    page.write_text("<!doctype html>\n<title>My portfolio</title>\n")
    with pytest.raises(
        ValueError,
        match=r"index\.html is a page of somebody else's, or of a version before 0.2, and would be lost; rename it",
    ):
        check_page(page)
    for ours in Path(tooncrafter_core.__file__).parent.rglob("*.html"):
        page.write_bytes(ours.read_bytes())
        check_page(page)
    page.write_bytes(b"")
    check_page(page)


def test_folders_in_folders_in_folders(tmp_path: Path) -> None:
    """More of them than Python makes calls in calls."""
    path = tmp_path / Path(*["d"] * 1200) / "frames.gif"
    write_frames(torch.rand(2, 3, 16, 16), path, 10)
    assert path.is_file()
    path.unlink()
    os.removedirs(path.parent)  # pytest cannot


def test_a_place_where_no_folder_can_be_made_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for path in (Path("/proc/tooncrafter"), tmp_path / "file" / "film.gif"):
        with pytest.raises(OSError, match=f"cannot write {path}"), written_whole(path):
            pytest.fail("it was begun")
