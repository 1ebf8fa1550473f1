"""Results of single pieces of work, each in a file of its own that is there whole or not at all.

A file's name is a digest of what decides its content, so that work is found again by whoever wants the same, and never
by whoever wants something else.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ...files.whole import naming

VERSION = 1
"""Of what the stages measure; another one finds no earlier result."""

Result = dict[str, Any]


def key(*parts: object) -> str:
    """A digest of JSON values."""
    text = json.dumps([VERSION, *parts], sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:32]


class Store:
    """A folder of results, which all machines that work on them share."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._unfinished = folder / "unfinished"

    def clear_unfinished(self) -> None:
        """Remove what killed processes have left."""
        shutil.rmtree(self._unfinished, ignore_errors=True)

    def read(self, stage: str, digest: str) -> Result | None:
        """A result, or None where there is none.

        Raises:
            ValueError: the file is damaged.
        """
        path = self._path(stage, digest)
        try:
            return json.loads(path.read_text(encoding="utf-8"))
        except FileNotFoundError:
            return None
        except ValueError as error:
            raise ValueError(f"{path} is damaged ({error}); delete it, and it is made again") from error

    def write(self, stage: str, digest: str, result: Result) -> None:
        """Keep a result."""
        path = self._path(stage, digest)
        with self.written(path) as unfinished:
            unfinished.write_text(json.dumps(result, sort_keys=True), encoding="utf-8")

    @contextmanager
    def written(self, path: Path) -> Iterator[Path]:
        """A path of nobody else's to write to; at the end it takes the wanted name, under this folder's file system.

        Two processes may write the same file at once, as when a lost machine comes back: the last one stays.
        """
        with naming(path):
            self._unfinished.mkdir(parents=True, exist_ok=True)
            path.parent.mkdir(parents=True, exist_ok=True)
            handle, name = tempfile.mkstemp(suffix=path.suffix, dir=self._unfinished)
            os.close(handle)
            try:
                yield Path(name)
                os.chmod(name, 0o644)
                os.replace(name, path)
            finally:
                Path(name).unlink(missing_ok=True)

    def _path(self, stage: str, digest: str) -> Path:
        return self.folder / stage / digest[:2] / f"{digest}.json"
