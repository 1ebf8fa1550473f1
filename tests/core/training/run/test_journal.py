"""The table of metrics."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest
import torch
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.summary.writer import event_file_writer

from tooncrafter_core.training.run.journal import Journal


def table(folder: Path) -> list[str]:
    return (folder / "metrics.csv").read_text().splitlines()


def test_rows_and_later_columns(tmp_path: Path) -> None:
    with Journal(tmp_path / "run", 0, True) as journal:
        journal.write(1, {"loss": 0.5})
        assert table(tmp_path / "run") == ["step,loss", "1,0.5"]
        journal.write(2, {"loss": 0.25, "judge": 1e-9})
        journal.write(3, {"loss": 1 / 3})
    assert table(tmp_path / "run") == ["step,loss,judge", "1,0.5,", "2,0.25,1e-09", "3,0.333333,"]


def test_rows_of_a_run_that_was_broken_off_go(tmp_path: Path) -> None:
    with Journal(tmp_path, 0, True) as journal:
        for step in (1, 2, 3):
            journal.write(step, {"loss": step})
    with Journal(tmp_path, 2, True) as journal:
        assert table(tmp_path) == ["step,loss", "1,1", "2,2"]
        journal.write(3, {"loss": 7})
    assert table(tmp_path) == ["step,loss", "1,1", "2,2", "3,7"]


def test_a_row_that_was_cut_off_goes(tmp_path: Path) -> None:
    with Journal(tmp_path, 0, True) as journal:
        for step in (99, 100):
            journal.write(step, {"loss": step})
    with (tmp_path / "metrics.csv").open("a") as file:
        file.write("10")  # of 101,...
    with Journal(tmp_path, 100, True):
        assert table(tmp_path) == ["step,loss", "99,99", "100,100"]


@pytest.mark.parametrize("content", [b"\xff\xfe", b"a,b\n1,2\n", b"step,b\nx,2\n", b"step,b\n" + b"9" * 5000 + b",2\n"])
def test_another_table_of_that_name_is_refused_and_kept(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "metrics.csv").write_bytes(content)
    with pytest.raises(ValueError, match=r"metrics\.csv is no table of a training's metrics .* take it away"):
        Journal(tmp_path, 1, True)
    assert (tmp_path / "metrics.csv").read_bytes() == content


def test_breaking_off_while_the_table_is_written_anew_leaves_it_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Journal(tmp_path, 0, True) as journal:
        journal.write(1, {"loss": 1})
        with monkeypatch.context() as patch, pytest.raises(OSError, match="no space"):
            patch.setattr("csv.DictWriter.writerows", lambda table, rows: fail())
            journal.write(2, {"loss": 1, "new": 2})
    assert table(tmp_path) == ["step,loss", "1,1"]


def fail() -> None:
    raise OSError("no space left on device")


def test_tensorboard(tmp_path: Path) -> None:
    with Journal(tmp_path, 0, True) as journal:
        journal.write(1, {"loss": 0.5})
        journal.write(2, {"loss": 0.25})
        journal.picture(2, torch.zeros(3, 8, 8))
    with Journal(tmp_path, 1, True) as journal:
        journal.write(2, {"loss": 0.125})
    events = EventAccumulator(str(tmp_path)).Reload()
    assert [(event.step, event.value) for event in events.Scalars("loss")] == [(1, 0.5), (2, 0.125)]


def test_the_events_of_a_run_that_is_resumed_within_a_second(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The number in the name of the second file, 10, is before the first one's, 9, in the order of names."""
    monkeypatch.setattr(event_file_writer, "_global_uid", event_file_writer.AtomicCounter(9))
    test_tensorboard(tmp_path)


def test_a_full_disk_is_told_with_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def no_room(*arguments: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with Journal(tmp_path, 0, True) as journal:
        journal.write(1, {"loss": 1})
        with monkeypatch.context() as patch, pytest.raises(OSError, match=r"metrics\.csv: No space left on device"):
            patch.setattr("csv.DictWriter.writerow", no_room)
            journal.write(2, {"loss": 1})
        with monkeypatch.context() as patch, pytest.raises(OSError, match=f"{tmp_path}: No space left on device"):
            patch.setattr("torch.utils.tensorboard.SummaryWriter.add_scalar", no_room)
            journal.write(2, {"loss": 1})


def test_other_processes_write_nothing(tmp_path: Path) -> None:
    with Journal(tmp_path / "run", 0, False) as journal:
        journal.write(1, {"loss": 0.5})
        journal.picture(1, torch.zeros(3, 8, 8))
    assert not (tmp_path / "run").exists()
