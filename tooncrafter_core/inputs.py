"""What is given by mistake: nothing, another kind, names that not all can read; and how a message shows it. And what a
command that is broken off tells the shell."""

from __future__ import annotations

import math
import os
import re
from argparse import ArgumentTypeError
from pathlib import Path
from reprlib import Repr
from types import UnionType

INTERRUPTED = 130
"""Exit status after Ctrl-C, as shells have it."""

_LONGEST = 1000
"""Digits of a whole number that is written out; Python itself refuses more than 4,300."""


class _Shortened(Repr):
    def repr_int(self, x: int, level: int) -> str:
        digits = x.bit_length() * math.log10(2)
        return super().repr_int(x, level) if digits <= _LONGEST else f"a number of about {digits:,.0f} digits"


_HALF = re.compile("[\ud800-\udc7f\udd00-\udfff]")
"""Half of a character that stands for no byte of a name."""

shortened = _Shortened().repr
"""A wrong value in a few words, whatever it is."""


def given(text: str) -> str:
    """An argument that says something, for argparse: to Python an empty path is the working folder."""
    if not text:
        raise ArgumentTypeError("it is empty; expected a path or a name. Give one, or . for the working folder")
    return text


def given_path(text: str) -> Path:
    """The path of a file or folder, for argparse; `~` is the user's folder."""
    return Path(os.path.expanduser(given(text)))  # Path.expanduser raises where there is no such user


def check_kind(value: object, kind: type | UnionType, name: str, expected: str) -> None:
    """Raise ValueError that names a value which is not of the kind, and what was expected."""
    if not isinstance(value, kind):
        raise ValueError(f"{name} is {shortened(value)}; expected {expected}")


def check_text(path: Path) -> None:
    """Raise ValueError for a path that is not UTF-8, as names from older systems are: no page, no list and not every
    library can have it."""
    try:
        str(path).encode()
    except UnicodeEncodeError as error:
        raise ValueError(f"{printable(path)} is not UTF-8; rename the file, or the folder that it is in") from error


def printable(path: str | Path) -> str:
    """A path for texts: what of it is not UTF-8 as \\x and the byte's number. Half of a character in a message ends
    ComfyUI's queue, which cannot send it."""
    text = str(path).encode("utf-8", "surrogatepass") if _HALF.search(str(path)) else os.fsencode(path)
    return text.decode("utf-8", "backslashreplace")
