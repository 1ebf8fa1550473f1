"""One run at a time writes to a folder of results: two with other inputs for one shot would mix up its files."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TextIO

if sys.platform != "win32":
    import fcntl

_LOCK = ".lock"


@contextmanager
def alone(folder: Path) -> Iterator[None]:
    """Keep other runs away from a folder, which is made where it is not there; a killed run keeps nobody away.

    Windows, and disks of a network that know no locks, let everybody in.

    Raises:
        ValueError: another run is at work there.
        OSError: nothing can be written there.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / _LOCK).open("a") as file:
        if sys.platform != "win32" and not _locked(file):
            raise ValueError(f"another run is at work in {folder}; wait until it has ended, or name another --out")
        yield


def _locked(file: TextIO) -> bool:
    """Take a lock that goes when the file is closed; False where another process has it."""
    with suppress(OSError):  # of a disk that knows no locks
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
    return True
