"""Which files a list of pictures and folders names, in the order an animator numbers them."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from pathlib import Path

from ..inputs import printable, shortened

_ENDINGS = (".png", ".jpg", ".jpeg", ".webp", ".bmp", ".gif", ".tif", ".tiff")


def picture_files(names: Sequence[str], base: Path) -> list[Path]:
    """The files that names stand for, in their order.

    Args:
        names: pictures, and folders, which stand for all pictures in them (not in folders inside) in natural order;
            empty ones are passed over.
        base: folder that names are looked for in, unless they are whole paths.

    Raises:
        ValueError: no names, a folder without pictures, or nothing of that name.
    """
    files: list[Path] = []
    for name in filter(None, map(str.strip, names)):
        path = base / name
        if os.path.isdir(path):  # Path.is_dir raises where a name is too long
            files += _pictures_in(path)
        elif os.path.exists(path):
            files.append(path)
        else:
            raise ValueError(
                f"no picture or folder {shortened(name)}; expected one in {printable(base)}, or a whole path. Look at "
                "its spelling, or put it there."
            )
    if not files:
        raise ValueError("no pictures are named; expected a folder, or names of pictures, one a line")
    return files


def natural_key(name: str) -> tuple[list[str | int], str]:
    """Sorts names as people number them: 2 before 10, whatever the case; names that differ in zeros by the zeros."""
    parts = re.split(r"([0-9]+)", name.casefold())
    return [int(part) if at % 2 else part for at, part in enumerate(parts)], name


def _pictures_in(folder: Path) -> list[Path]:
    entries = list(folder.iterdir())
    # A link that leads nowhere is a picture that is missing, which whoever reads it tells.
    pictures = [e for e in entries if e.suffix.lower() in _ENDINGS and not e.name.startswith(".") and not e.is_dir()]
    if not pictures:
        others = f"; it has {len(entries)} other entries" if entries else ""
        raise ValueError(
            f"the folder {printable(folder)} has no pictures{others}. Put some into it ({', '.join(_ENDINGS)}), or "
            "name another."
        )
    return sorted(pictures, key=lambda path: natural_key(path.name))
