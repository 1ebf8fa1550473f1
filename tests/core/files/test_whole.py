"""Results appear whole or not at all, whatever ends the writing."""

from __future__ import annotations

import errno
import logging
import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Thread

import pytest
import torch
from endurance.kills import WRITES, kill_writes
from file_limits import files_of_at_most, kill_at
from PIL import Image
from safetensors import SafetensorError
from torch import Tensor

from tooncrafter_core.files import whole
from tooncrafter_core.files.media import check_output, write_contact_sheet, write_frames
from tooncrafter_core.files.places.own import save_marked
from tooncrafter_core.files.whole import folder_written_whole, written_whole
from tooncrafter_core.training.run.export import write_checkpoint

KINDS = ["frames.mp4", "frames.webp", "frames.gif", "frames", "sheet.png"]
LIMIT = 3000
"""Bytes: the frames below take more in every kind of file."""


def frames(seed: int = 0) -> Tensor:
    """Five frames of noise after two plain ones."""
    noise = torch.rand(5, 3, 64, 64, generator=torch.Generator().manual_seed(seed))
    return torch.cat([torch.full((2, 3, 64, 64), 0.5), noise])


def write(path: Path, seed: int = 0) -> None:
    if path.stem == "sheet":
        write_contact_sheet(frames(seed), path)
    else:
        write_frames(frames(seed), path, 10)


def content(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


@pytest.fixture(params=KINDS)
def result(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    return tmp_path / "made" / request.param


def test_killed_at_first(result: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Nothing has the result's name then; what is left says what it is, is one thing, and goes with the next run."""
    for _ in range(2):
        kill_at(LIMIT, lambda: write(result))
        assert [path.name for path in result.parent.iterdir()] == [f"unfinished-{result.name}"]
    assert any(content(result.parent).values())
    with caplog.at_level(logging.WARNING):
        write(result)
    assert f"unfinished-{result.name} is what a run left that was broken off" in caplog.text
    assert [path.name for path in result.parent.iterdir()] == [result.name]


def test_who_writes_a_folder_at_the_same_time_waits(tmp_path: Path) -> None:
    """What is there then is all of one of them."""
    path = tmp_path / "frames"
    write(tmp_path / "alone" / "frames", seed=2)
    second = Thread(target=write, args=(path, 2))
    with folder_written_whole(path) as folder:
        (folder / "0000.png").write_bytes(b"first")
        second.start()
        second.join(timeout=1)
        assert second.is_alive()
        (folder / "0099.png").write_bytes(b"last")
    second.join()
    assert content(path) == content(tmp_path / "alone" / "frames")
    assert {entry.name for entry in tmp_path.iterdir()} == {"alone", "frames"}


def test_many_writers_at_once(tmp_path: Path) -> None:
    """None fails, and what is there is all of one of them."""

    def write_files(number: int) -> None:
        with folder_written_whole(tmp_path / "frames") as folder:
            for name in range(20):
                save_marked(Image.new("L", (1, 1), number), folder / f"{name:04}.png")

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(write_files, range(100)))
    files = content(tmp_path)
    assert len(files) == 20 and len(set(files.values())) == 1
    assert [entry.name for entry in tmp_path.iterdir()] == ["frames"]


def test_who_writes_a_file_at_the_same_time_waits(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """And says for what."""
    path = tmp_path / "frames.webp"
    write(tmp_path / "alone.webp", seed=2)
    second = Thread(target=write, args=(path, 2))
    with written_whole(path) as unfinished:
        unfinished.write_bytes(b"first")
        second.start()
        second.join(timeout=1)
        assert second.is_alive() and unfinished.read_bytes() == b"first"
        assert caplog.messages == [f"waiting for another run that writes to {unfinished.parent}"]
    second.join()
    assert path.read_bytes() == (tmp_path / "alone.webp").read_bytes()


def test_killed_over_an_older_result(result: Path) -> None:
    write(result, seed=1)
    before = content(result.parent)
    kill_at(LIMIT, lambda: write(result))
    after = content(result.parent)
    assert {name: after[name] for name in before} == before
    assert all(name.startswith("unfinished-") for name in after.keys() - before.keys())


def test_killed_where_a_library_writes_under_a_name_of_its_own(tmp_path: Path) -> None:
    """As safetensors does: what it leaves goes with the next run too."""
    path = tmp_path / "model.safetensors"

    def write_and_be_killed() -> None:
        with written_whole(path) as unfinished:
            unfinished.with_name(".tmp123456").write_bytes(bytes(2 * LIMIT))

    kill_at(LIMIT, write_and_be_killed)
    assert [*content(tmp_path)] == ["unfinished-model.safetensors/.tmp123456"]
    write_checkpoint({"weight": torch.zeros(3)}, path)
    assert [*content(tmp_path)] == ["model.safetensors"]


@pytest.mark.parametrize(("umask", "mode"), [(0o022, 0o644), (0o077, 0o600), (0o002, 0o664)])
def test_who_may_read_a_model_follows_from_the_umask(umask: int, mode: int, tmp_path: Path) -> None:
    before = os.umask(umask)
    try:
        write_checkpoint({"weight": torch.zeros(3)}, tmp_path / "model.safetensors")
    finally:
        os.umask(before)
    assert (tmp_path / "model.safetensors").stat().st_mode & 0o777 == mode


def test_killed_at_any_time(tmp_path: Path) -> None:
    """Each kind of write twice; `scripts/endure.py kills` does it more often."""
    kills = list(kill_writes(tmp_path, 2, seed=0))
    assert [name for name, _, _ in kills] == list(WRITES)
    assert any(killed for _, killed, _ in kills)
    assert [name for name, _, broken in kills if broken] == []


def test_full_disk(result: Path) -> None:
    write(result, seed=1)
    before = content(result.parent)
    with (
        files_of_at_most(LIMIT),
        pytest.raises(OSError, match=rf"cannot write {result}: File too large .* MiB are free"),
    ):
        write(result)
    assert content(result.parent) == before


@pytest.mark.parametrize("name", ["frames", "frames.gif", "sheet.png"])
def test_no_space_is_told_with_the_name(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def no_room(*arguments: object, **options: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(Image.Image, "save", no_room)
    with pytest.raises(OSError, match=rf"{tmp_path / name}: No space left on device .* unchanged"):
        write(tmp_path / name)
    assert not [*tmp_path.iterdir()]


def test_a_longer_earlier_run_leaves_no_frames(tmp_path: Path) -> None:
    write_frames(torch.rand(9, 3, 16, 16), tmp_path / "frames", 10)
    write_frames(torch.zeros(2, 3, 16, 16), tmp_path / "frames", 10)
    assert sorted(content(tmp_path)) == ["frames/0000.png", "frames/0001.png"]


def test_an_empty_folder_is_replaced(tmp_path: Path) -> None:
    (tmp_path / "frames").mkdir()
    write(tmp_path / "frames")
    assert len(content(tmp_path)) == 7


@pytest.mark.parametrize("folder", ["frames", "unfinished-frames", "replaced-frames"])
@pytest.mark.parametrize("other", ["notes.txt", "0001.jpg", "1.png", "more/0000.png"])
def test_a_folder_with_other_files_is_left_alone(folder: str, other: str, tmp_path: Path) -> None:
    path = tmp_path / folder / other
    path.parent.mkdir(parents=True)
    path.write_bytes(b"mine")
    for refused in (lambda: check_output(tmp_path / "frames", 16, 16), lambda: write(tmp_path / "frames")):
        with pytest.raises(ValueError, match=rf"{tmp_path / folder} holds other files \({other.split('/')[0]}\)"):
            refused()
    assert content(tmp_path) == {f"{folder}/{other}": b"mine"}


def test_a_kill_between_moving_away_and_putting_in_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The next run puts the older folder back before it does anything."""
    write(tmp_path / "frames", seed=1)
    before = content(tmp_path)
    os.rename(tmp_path / "frames", tmp_path / "replaced-frames")
    with files_of_at_most(LIMIT), pytest.raises(OSError, match="File too large"):
        write(tmp_path / "frames")
    assert content(tmp_path) == before


def test_a_folder_that_cannot_be_put_in_place_leaves_the_older_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(tmp_path / "frames", seed=1)
    before, rename = content(tmp_path), os.rename

    def refuse(source: Path, target: Path) -> None:
        if source.name.startswith("unfinished-"):
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        rename(source, target)

    with monkeypatch.context() as patch, pytest.raises(OSError, match="frames: Input/output error"):
        patch.setattr(whole.os, "rename", refuse)
        write(tmp_path / "frames")
    assert content(tmp_path) == before


def test_a_link_stays_one(tmp_path: Path) -> None:
    for name in ("frames", "frames.gif"):
        write(tmp_path / "real" / name, seed=1)
        (tmp_path / name).symlink_to(tmp_path / "real" / name)
        before = content(tmp_path / "real")
        write(tmp_path / name)
        assert (tmp_path / name).is_symlink()
        assert content(tmp_path / "real") != before


@pytest.mark.parametrize("name", ["frames", "frames.gif"])
def test_a_device_is_not_replaced(name: str, tmp_path: Path) -> None:
    """As root one could, and everything that writes to /dev/null would fail from then on."""
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / name).symlink_to(tmp_path / "pipe")
    for refused in (lambda: check_output(tmp_path / name, 16, 16), lambda: write(tmp_path / name)):
        with pytest.raises(ValueError, match="is a device or a pipe"):
            refused()
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(["pipe", name])
    assert (tmp_path / "pipe").is_fifo()


@pytest.mark.parametrize(("name", "width"), [("frames.mp4", 16386), ("frames.webp", 16384), ("frames.gif", 65536)])
def test_sizes_that_a_kind_of_file_cannot_have(name: str, width: int, tmp_path: Path) -> None:
    check_output(tmp_path / name, width - 2, 64)
    with pytest.raises(ValueError, match=f"{width} x 64 pixels are more than"):
        check_output(tmp_path / name, width, 64)


def test_a_disk_that_is_full_for_safetensors(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It removes what it has written of the file, so that there is room again, and has the system's reason as words."""

    def no_room(*_: object) -> None:
        raise SafetensorError("Error while serializing: I/O error: No space left on device (os error 28)")

    monkeypatch.setattr("tooncrafter_core.training.run.export.save_file", no_room)
    with pytest.raises(OSError, match=r"cannot write .*model\.safetensors: No space left on device .* Make room"):
        write_checkpoint({"weight": torch.zeros(3)}, tmp_path / "model.safetensors")
    assert not [*tmp_path.iterdir()]
