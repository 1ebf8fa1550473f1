"""One run at a time writes to a folder of results; two with other inputs for one shot would mix up its files."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ...files.places.lock import lock

_LOCK = ".lock"


@contextmanager
def alone(folder: Path) -> Iterator[None]:
    """Keep other runs away from a folder, see `lock`; it is made where it is not there. A killed run keeps nobody away.

    Raises:
        ValueError: another run is at work there.
        OSError: nothing can be written there.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / _LOCK).open("a") as file:
        if not lock(file.fileno(), wait=False):
            raise ValueError(f"another run is at work in {folder}; wait until it has ended, or name another --out")
        yield
