"""Pictures and pages that say they are a result, so that none that somebody made is replaced by one."""

from __future__ import annotations

import os
import re
import stat
import struct
from pathlib import Path

from PIL import Image

FRAME = re.compile(r"\d{4,}\.png")
"""Names of the files in a folder of pictures."""
MARK = "tooncrafter"
_SOFTWARE = 0x0131
"""EXIF's number for what made a picture; editors put their own name there."""
_PAGE_MARK = f'<meta name="generator" content="{MARK}">'.encode()
"""In the head of every page."""
_HEAD = 1 << 10
UNREADABLE = (OSError, ValueError, SyntaxError, EOFError, struct.error, Image.DecompressionBombError)
"""What Pillow raises for files that are cut short or made up; its PNG reader does raise SyntaxError."""


def save_marked(image: Image.Image, path: Path) -> None:
    """Save a picture that says it is a result. A BMP has no room to say so.

    Raises:
        OSError: it cannot be written.
    """
    said = Image.Exif()
    said[_SOFTWARE] = MARK
    image.save(path, exif=said)


def is_replaceable(path: Path) -> bool:
    """Whether nothing is lost with this file: it is a marked picture, empty as after a power cut, or not there."""
    try:
        status = os.lstat(path)
        if not stat.S_ISREG(status.st_mode):
            return False
        if not status.st_size:
            return True
        with Image.open(path) as image:
            return bool(image.getexif().get(_SOFTWARE) == MARK)
    except FileNotFoundError:
        return True
    except UNREADABLE:
        return False


def is_replaceable_page(path: Path) -> bool:
    """The same of a page."""
    try:
        with path.open("rb") as file:
            head = file.read(_HEAD)
    except FileNotFoundError:
        return True
    except OSError:
        return False
    return not head or _PAGE_MARK in head
