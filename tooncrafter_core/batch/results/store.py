"""The folder of a run's results.

| file | is |
| --- | --- |
| `shots/NAME/0000.png`, ... | a shot's frames |
| `shots/NAME.json` | its record, written last: what it was made of (the digest), and how long that took |
| `strips/NAME.png` | some of its frames in a row |
| `parts/NAME/DIGEST/0000.safetensors`, ... | segments of a shot that is not finished |
| `parts/NAME/DIGEST/0000_00.safetensors`, ... | runs of one of its long segments |
| `weights.json` | digests of weight files |
| `index.html` | the report |
| `.lock` | see `alone` |
"""

from __future__ import annotations

import json
import os
import shutil
import socket
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path

from torch import Tensor

from ...files.media import check_output, check_sheet_file, write_contact_sheet, write_frames
from ...files.places.own import FRAME
from ...files.whole import check_file, check_folder, check_page, folder_written_whole, written_whole
from ...frames.sheets import variants_sheet
from .digest import WeightDigests
from .parts import Parts

_STRIP = 8
"""Frames of a strip."""
_KEY = "[0-9a-f]" * 32
"""What `glob` takes for a shot's key."""


@dataclass(frozen=True)
class Record:
    """What is known of a drawn shot.

    Attributes:
        key: see `shot_key`.
        frames: how many the result has.
        seconds: that drawing took, all workers together.
        worker: who finished it.
    """

    key: str
    frames: int
    seconds: float
    worker: str


@dataclass(frozen=True)
class Results:
    """What a run writes, and finds of earlier ones; every file appears whole or not at all.

    Attributes:
        folder: seen by every worker under this path.
    """

    folder: Path

    @property
    def report(self) -> Path:
        return self.folder / "index.html"

    @property
    def weights(self) -> Path:
        return self.folder / "weights.json"

    def frames(self, name: str) -> Path:
        """The folder of a shot's frames."""
        return self.folder / "shots" / name

    def frame_strip(self, name: str) -> Path:
        return self.folder / "strips" / f"{name}.png"

    def check(self) -> None:
        """Raise ValueError where what belongs to no single shot cannot be written."""
        check_page(self.report)
        WeightDigests(self.weights).check()
        check_file(self.folder / "parts" / "a part")

    def check_shot(self, name: str, width: int, height: int) -> None:
        """Raise ValueError where a shot's frames of this size, its strip or its record cannot be written."""
        check_output(self.frames(name), width, height)
        check_sheet_file(self.frame_strip(name))
        check_file(self._record(name))

    def check_seen(self) -> None:
        """Raise ValueError where this machine does not see what the one that began the run has written."""
        if not self.weights.is_file():
            raise ValueError(
                f"{socket.gethostname()} does not see {self.weights}; --out, the list's pictures and the checkpoint "
                "have to be in folders that every machine of the cluster has under the same path"
            )

    def record(self, name: str) -> Record | None:
        """The record of a shot of which all frames are there."""
        record = _read_record(self._record(name))
        return record if record and _count(self.frames(name)) == record.frames else None

    def records(self) -> Iterator[tuple[str, Record]]:
        """All of them, by shot."""
        for path in sorted((self.folder / "shots").glob("*.json")):
            if record := self.record(path.stem):
                yield path.stem, record

    def write(self, name: str, frames: Tensor, record: Record) -> None:
        """Write a shot's frames (n, 3, H, W) in [0, 1], its strip and, last, its record.

        Raises:
            OSError: one cannot be written.
            ValueError: the frames' folder holds other files.
        """
        self._record(name).unlink(missing_ok=True)
        write_frames(frames, self.frames(name), frame_rate=1)  # PNGs have no rate
        strip = variants_sheet([frames], [name], _STRIP)
        write_contact_sheet(strip[None], self.frame_strip(name), columns=1)
        self._finish(name, record)

    def copy(self, source: str, target: str, record: Record) -> None:
        """A shot's result under another name as well.

        Raises:
            OSError: it cannot be written.
            ValueError: what has that name may not be replaced, and is unchanged.
        """
        check_folder(self.frames(target))
        check_sheet_file(self.frame_strip(target))
        self._record(target).unlink(missing_ok=True)
        with folder_written_whole(self.frames(target)) as folder:
            shutil.copytree(self.frames(source), folder, dirs_exist_ok=True)
        if self.frame_strip(source).exists():
            with written_whole(self.frame_strip(target)) as unfinished:
                shutil.copyfile(self.frame_strip(source), unfinished)
        self._finish(target, record)

    def parts(self, name: str, key: str) -> Parts:
        """Of a shot that is not finished, drawn from the input of that key."""
        return Parts(self._parts(name) / key)

    def forget_parts(self, name: str) -> None:
        """Remove the parts of a finished shot, whatever input they were drawn from."""
        for folder in self._parts(name).glob(_KEY):
            shutil.rmtree(folder, ignore_errors=True)
        with suppress(OSError):  # there were none, or somebody's files are among them
            self._parts(name).rmdir()

    def _parts(self, name: str) -> Path:
        return self.folder / "parts" / name

    def _record(self, name: str) -> Path:
        return self.folder / "shots" / f"{name}.json"

    def _finish(self, name: str, record: Record) -> None:
        """Write a shot's record; its parts are of no more use then."""
        with written_whole(self._record(name)) as unfinished:
            unfinished.write_text(json.dumps(asdict(record)) + "\n", encoding="utf-8")
        self.forget_parts(name)


def _read_record(path: Path) -> Record | None:
    """A record; None where there is none, or one that was changed by hand."""
    try:
        given = json.loads(path.read_text(encoding="utf-8"))
        return Record(str(given["key"]), int(given["frames"]), float(given["seconds"]), str(given["worker"]))
    except (OSError, ValueError, KeyError, TypeError, OverflowError, RecursionError):
        return None


def _count(folder: Path) -> int:
    """Frames in a folder; a file that a power cut has left empty is none."""
    try:
        return sum(bool(FRAME.fullmatch(entry.name) and entry.stat().st_size) for entry in os.scandir(folder))
    except OSError:
        return 0
