"""What was measured or drawn before, kept on disk so that an interrupted report goes on where it stopped."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from ...files.whole import check_file, written_whole

RESULTS = "results.jsonl"
"""In the output folder: numbers by key, see `Results`."""
Values = dict[str, float]
_DAMAGED = (ValueError, KeyError, TypeError, RecursionError)
"""What reading a line raises that `Results` has not written, or not all of."""
_log = logging.getLogger(__name__)


def holds_results(folder: Path) -> bool:
    """Whether a folder has numbers that `Results` has kept, or none yet."""
    try:
        with (folder / RESULTS).open(encoding="utf-8") as file:
            if first := file.readline():
                _read_row(first)
        return True
    except (OSError, *_DAMAGED):
        return False


def _read_row(line: str) -> tuple[str, Values]:
    """A key and its values; raises one of `_DAMAGED`."""
    row = json.loads(line)
    return row["key"], row["values"]


class Results:
    """Numbers by key in a file of one JSON object a line. A line cut short by an interruption is measured again.

    Raises:
        ValueError: the file cannot be written.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        check_file(path)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
        text = path.read_text(encoding="utf-8")
        self._values: dict[str, Values] = {}
        for number, line in enumerate(text.splitlines(), start=1):
            try:
                key, values = _read_row(line)
                self._values[key] = values
            except _DAMAGED:
                _log.warning("%s, line %d is damaged; it is measured again", path, number)
        self._separator = "" if not text or text.endswith("\n") else "\n"

    def __len__(self) -> int:
        return len(self._values)

    def get(self, key: str, make: Callable[[], Values], **about: object) -> Values:
        """The values of a key; made, and written with `about` for a reader, if there are none yet."""
        if key not in self._values:
            values = make()
            with self.path.open("a", encoding="utf-8") as file:
                file.write(self._separator + json.dumps({"key": key, **about, "values": values}) + "\n")
            self._separator = ""
            self._values[key] = values
        return self._values[key]


class Renders:
    """Frames (uint8) by key, one compressed file for each.

    Raises:
        ValueError: the folder cannot be written to.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        check_file(folder / "frames.npz")
        folder.mkdir(parents=True, exist_ok=True)

    def get(self, key: str, make: Callable[[], Tensor]) -> Tensor:
        """The frames of a key, made if there are none yet. A file appears complete or not at all."""
        path = self.folder / f"{key[:32]}.npz"
        if not path.exists():
            frames = make()
            with written_whole(path) as unfinished:
                np.savez_compressed(unfinished, frames=frames.cpu().numpy())
            return frames
        with np.load(path) as kept:
            return torch.from_numpy(kept["frames"])
