"""What was written, brought from the system's memory onto the disk, where a power cut does not reach it."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

_AT_ONCE = 16
"""Files that wait for the disk together: a journal takes them as one, and 64 then cost what a few do one by one."""
_BINARY = getattr(os, "O_BINARY", 0)


def flush(path: Path) -> None:
    """Wait until a file, or a folder with all that is in it, is on the disk.

    Before a rename this makes sure that the new name never stands for less than the whole; of the folder above, after
    it, that the name is there to stay.

    Raises:
        OSError: the disk did not take it.
    """
    if not path.is_dir():
        _flush_file(path)
        return
    inside = [*path.rglob("*")]
    with ThreadPoolExecutor(_AT_ONCE) as threads:
        list(threads.map(_flush_file, [each for each in inside if each.is_file()]))
    for folder in (*(each for each in inside if each.is_dir()), path):
        flush_names(folder)


def flush_names(folder: Path) -> None:
    """Wait until the names in a folder are on the disk, where the system knows such a wish: Windows does not."""
    with suppress(OSError):
        _sync(folder, os.O_RDONLY)


def _flush_file(path: Path) -> None:
    _sync(path, os.O_RDWR | _BINARY)  # Windows flushes only what may be written


def _sync(path: Path, flags: int) -> None:
    handle = os.open(path, flags)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
