"""A folder of numbered keyframes as shots."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

from ...files.pictures import natural_key, picture_files
from ...inputs import check_text
from .shot import Shot, parse_shot

_NUMBER = re.compile(r"(\d{1,9})\D*", re.ASCII)

Entry = dict[str, object]
"""What a line of a list says."""


class Line(NamedTuple):
    """What a line of a list says, and the shot that it means."""

    entry: Entry
    shot: Shot


def lines_of_folder(folder: Path, list_folder: Path, frames: str | None = None) -> list[Line]:
    """A shot of a folder's pictures, or one of each folder in it.

    Args:
        folder: the folder; shots get the folders' names.
        list_folder: where the list will be, from which its paths lead.
        frames: of each segment; None takes the last number in each file's name as its frame's.

    Raises:
        ValueError: no pictures, names whose numbers do not say where the keyframes are, or what makes no shot.
    """
    folder = folder.resolve()
    inside = sorted(
        (entry for entry in folder.iterdir() if entry.is_dir() and not entry.name.startswith(".")),
        key=lambda entry: natural_key(entry.name),
    )
    return [_line(each, list_folder, frames) for each in inside or [folder]]


def relative(path: Path, list_folder: Path) -> str:
    """A path as a list in that folder has it; ValueError where it is not UTF-8, as a list has to be."""
    check_text(path)
    return Path(os.path.relpath(os.path.realpath(path), os.path.realpath(list_folder))).as_posix()


def shot_name(text: str) -> str:
    """A shot's name of any text."""
    return re.sub(r"[^\w-]+", "_", text).lstrip("-")[:100] or "shot"


def _line(folder: Path, list_folder: Path, frames: str | None) -> Line:
    files = picture_files([str(folder)], folder)
    entry: Entry = {"name": shot_name(folder.name), "keyframes": [relative(file, list_folder) for file in files]}
    entry |= {"frames": frames} if frames is not None else {"frame_numbers": _numbers(files)}
    return Line(entry, parse_shot(entry, list_folder, {}))


def _numbers(files: Sequence[Path]) -> list[int]:
    """Frame numbers by the files' names.

    Raises:
        ValueError: a name without one, numbers that do not rise, or ones that only count the keyframes.
    """
    numbers = []
    for file in files:
        found = _NUMBER.fullmatch(file.stem[_last_number(file.stem) :])
        if found is None:
            raise ValueError(f"{file} has no number in its name; number it by its frame, or give --frames")
        numbers.append(int(found[1]))
    for (before, at), (after, then) in pairwise(zip(files, numbers, strict=True)):
        if then <= at:
            raise ValueError(
                f"{after} comes after {before.name} with frame number {then}; expected more than {at}, or give --frames"
            )
    if len(numbers) > 1 and all(then - at == 1 for at, then in pairwise(numbers)):
        raise ValueError(
            f"the keyframes in {files[0].parent} are numbered {numbers[0]} to {numbers[-1]}, which leaves no frames "
            "between them; number them by their frames, or give --frames such as 16"
        )
    return numbers


def _last_number(stem: str) -> int:
    """Where the last number of a name begins; its end where there is none."""
    return max((found.start() for found in re.finditer(r"[0-9]+", stem)), default=len(stem))
