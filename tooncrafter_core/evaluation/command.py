"""How the commands that measure begin and end, those of `scripts` too."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable
from pathlib import Path

from ..inputs import INTERRUPTED, given_path

_MOST_THREADS = 1024


def count(text: str) -> int:
    """A number of scenes, runs or the like, for argparse."""
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"it is {text}; expected 1 or more")
    return number


def new_folder(text: str) -> Path:
    """The path of a folder that is not there yet, for argparse."""
    folder = given_path(text)
    if os.path.lexists(folder):
        raise argparse.ArgumentTypeError(f"{text} is there already; expected a new folder")
    return folder


def threads(text: str) -> int:
    """The number in `--threads`, for argparse."""
    number = int(text)
    if not 1 <= number <= _MOST_THREADS:
        raise argparse.ArgumentTypeError(f"it is {text}; expected 1 to {_MOST_THREADS}")
    return number


def named_path(text: str, expected: str, option: str = "") -> tuple[str, Path]:
    """The name and the path in `NAME=PATH`; ValueError where it has another form."""
    name, _, path = text.partition("=")
    if not name or not path:
        raise ValueError(f"cannot read {f'{option} {text}'.strip()}; expected {expected}")
    return name, given_path(path)


def exit_status(work: Callable[[], str | None]) -> int:
    """Do a command's work and print the text that comes of it, if any: 0, 2 and one line on standard error for a user's
    mistake, or 130 after Ctrl-C."""
    try:
        text = work()
    except (ValueError, OSError) as error:
        sys.stderr.write(f"error: {' '.join(str(error).split())}\n")
        return 2
    except KeyboardInterrupt:
        sys.stderr.write("interrupted; the files that are written are whole\n")
        return INTERRUPTED
    sys.stdout.write(text or "")
    return 0
