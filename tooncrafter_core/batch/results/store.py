"""The folder of a run's results.

| file | is |
| --- | --- |
| `shots/NAME/0000.png`, ... | a shot's frames |
| `shots/NAME.json` | its record, written last: what it was made of (the digest), and how long that took |
| `strips/NAME.png` | some of its frames in a row |
| `parts/DIGEST/0000.safetensors`, ... | segments of a shot that is not finished |
| `parts/DIGEST/0000_00.safetensors`, ... | runs of one of its long segments |
| `weights.json` | digests of weight files |
| `index.html` | the report |
"""

from __future__ import annotations

import json
import os
import re
import shutil
import socket
from collections.abc import Iterator
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import cast

from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from ...files.media import check_output, write_contact_sheet, write_frames
from ...files.whole import check_file, folder_written_whole, written_whole
from ...frames.sheets import variants_sheet
from ..tasks import Part

_FRAME = re.compile(r"\d{4,}\.png")
_STRIP = 8
"""Frames of a strip."""
_DRAWN = "drawn"
_SECONDS = "seconds"


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

    def check(self, name: str, width: int, height: int) -> None:
        """Raise ValueError where a shot's frames of this size, or the report, cannot be written."""
        check_output(self.frames(name), width, height)
        check_file(self.report)

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
        self._write_record(name, record)

    def copy(self, source: str, target: str, record: Record) -> None:
        """A shot's result under another name as well.

        Raises:
            OSError: it cannot be written.
        """
        self._record(target).unlink(missing_ok=True)
        with folder_written_whole(self.frames(target), _FRAME) as folder:
            shutil.copytree(self.frames(source), folder, dirs_exist_ok=True)
        with written_whole(self.frame_strip(target)) as unfinished:
            shutil.copyfile(self.frame_strip(source), unfinished)
        self._write_record(target, record)

    def read_part(self, key: str, part: Part) -> Tensor | None:
        """Frames (3, t, H, W) of a segment, or latents of a run, that were drawn before, if they were."""
        try:
            with safe_open(self._part(key, part), "pt") as file:
                return cast(Tensor, file.get_tensor(_DRAWN))
        except (FileNotFoundError, SafetensorError):
            return None

    def has_part(self, key: str, part: Part) -> bool:
        """Whether it is there, whole; what is in it is not read."""
        return _seconds(self._part(key, part)) is not None

    def write_part(self, key: str, part: Part, drawn: Tensor, seconds: float) -> None:
        """Keep a part, and the seconds it took, until its shot is finished.

        Raises:
            OSError: it cannot be written.
        """
        with written_whole(self._part(key, part)) as unfinished:
            save_file({_DRAWN: drawn.contiguous()}, unfinished, {_SECONDS: str(seconds)})

    def part_seconds(self, key: str) -> float:
        """What all parts of a shot that are there took."""
        return sum(filter(None, map(_seconds, self._parts(key).glob("*.safetensors"))))

    def forget_parts(self, key: str) -> None:
        """Remove the parts of a finished shot."""
        shutil.rmtree(self._parts(key), ignore_errors=True)

    def _parts(self, key: str) -> Path:
        return self.folder / "parts" / key

    def _part(self, key: str, part: Part) -> Path:
        name = f"{part:04}" if isinstance(part, int) else f"{part.segment:04}_{part.number:02}"
        return self._parts(key) / f"{name}.safetensors"

    def _record(self, name: str) -> Path:
        return self.folder / "shots" / f"{name}.json"

    def _write_record(self, name: str, record: Record) -> None:
        with written_whole(self._record(name)) as unfinished:
            unfinished.write_text(json.dumps(asdict(record)) + "\n", encoding="utf-8")


def _read_record(path: Path) -> Record | None:
    """A record; None where there is none, or one that was changed by hand."""
    try:
        given = json.loads(path.read_text(encoding="utf-8"))
        return Record(**{field.name: given[field.name] for field in fields(Record)})
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _seconds(part: Path) -> float | None:
    """What a part took; None where it is not there, damaged, or of an earlier version, and drawn again."""
    try:
        with safe_open(part, "pt") as file:
            file.get_slice(_DRAWN)
            return float(file.metadata()[_SECONDS])
    except (FileNotFoundError, SafetensorError):
        return None


def _count(folder: Path) -> int:
    try:
        return sum(1 for entry in os.scandir(folder) if _FRAME.fullmatch(entry.name))
    except OSError:
        return 0
