"""What tells clips apart, whatever they are called: sizes of their files and a part of each one's bytes."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable
from pathlib import Path

from .manifest import Clip

_SAMPLE = 4096
"""Bytes from the middle of each file, where a compressed picture or film differs if anything before it does."""


def contents_digest(clips: Iterable[Clip]) -> bytes:
    """SHA-256 over what the clips' files hold, in this order; where the clips lie does not count.

    A clip that is not there, or may not be read, counts as such.
    """
    digest = hashlib.sha256()
    for clip in clips:
        digest.update(repr([_facts(file) for file in _files(clip.path)]).encode())
    return digest.digest()


def _files(clip: Path) -> list[Path]:
    """A video file, or all that is in a folder of pictures, in the order of names."""
    try:
        return sorted(clip.iterdir()) if os.path.isdir(clip) else [clip]
    except OSError:
        return []


def _facts(file: Path) -> tuple[int, bytes] | None:
    """Size, and bytes from the middle; None for what is no readable file."""
    if not os.path.isfile(file):
        return None
    try:
        with file.open("rb") as content:
            size = content.seek(0, os.SEEK_END)
            content.seek(max(0, (size - _SAMPLE) // 2))
            return size, content.read(_SAMPLE)
    except OSError:
        return None
