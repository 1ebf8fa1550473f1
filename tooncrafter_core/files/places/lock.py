"""Files and folders that one process has, while others wait or are told."""

from __future__ import annotations

import logging
import os
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

if sys.platform != "win32":
    import fcntl

log = logging.getLogger(__name__)


def lock(descriptor: int, wait: bool) -> bool:
    """Lock an opened file or folder until it is closed or the process ends; False where another process has the lock.

    Windows, and disks of a network that know no locks, let everybody in.
    """
    if sys.platform == "win32":
        return True
    with suppress(OSError):
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX if wait else fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
    return True


@contextmanager
def taken(folder: Path) -> Iterator[None]:
    """A folder that is made where it is not there, for which others wait, and which is removed at the end."""
    if sys.platform == "win32":  # where a folder cannot be locked
        _make(folder)
        try:
            yield
        finally:
            shutil.rmtree(folder, ignore_errors=True)
        return
    descriptor = _take(folder)
    try:
        yield
    finally:
        if _is_at(folder, descriptor):  # and not another one, made when this one had been renamed
            shutil.rmtree(folder, ignore_errors=True)
        os.close(descriptor)


def _make(folder: Path) -> None:
    """Make a folder and those above it; pathlib itself calls itself for each, and cannot make a thousand."""
    for above in reversed(folder.parents):
        if not os.path.exists(above):
            above.mkdir(exist_ok=True)
    folder.mkdir(exist_ok=True)


def _take(folder: Path) -> int:
    """Make a folder, or wait for who has it; the descriptor that keeps it."""
    while True:
        try:
            _make(folder)
        except FileExistsError:  # unless who had it has just removed it, something else is there
            if os.path.lexists(folder) and not os.path.isdir(folder):
                raise
            continue
        with suppress(FileNotFoundError):  # who had it has just removed it
            descriptor = os.open(folder, os.O_RDONLY)
            if not lock(descriptor, wait=False):
                log.warning("waiting for another run that writes to %s", folder)
                lock(descriptor, wait=True)
            if _is_at(folder, descriptor):
                return descriptor
            os.close(descriptor)


def _is_at(folder: Path, descriptor: int) -> bool:
    """Whether an opened folder still has this name."""
    try:
        return os.path.samestat(os.stat(folder), os.fstat(descriptor))
    except FileNotFoundError:
        return False
