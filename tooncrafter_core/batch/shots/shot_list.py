"""A list of shots: one JSON object on each line of a file."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from ...files.whole import written_whole
from ...inputs import printable
from .shot import Shot, parse_shot

_SHOWN = 8
"""Further wrong lines that a message names."""
_MOST_DIGITS = 20
"""Of a number: the largest seed has as many."""


class ShotListError(ValueError):
    """A list that cannot be used: says which line of which file, and what is wrong with it."""


def read_shots(path: str | Path, defaults: Mapping[str, object] | None = None) -> list[Shot]:
    """Read all shots; their pictures are looked for in the list's folder.

    Args:
        path: the file.
        defaults: what counts where a line says nothing, see `parse_shot`.

    Raises:
        FileNotFoundError: no such file.
        ShotListError: no shots, or lines that are no shots; the first one's mistake, and the other ones' numbers.
    """
    path = Path(path)
    if not os.path.exists(path):  # Path.exists raises where a name is too long
        raise FileNotFoundError(f"there is no list of shots {printable(path)}; check the path")
    try:
        lines = path.read_text(encoding="utf-8-sig").split("\n")  # other ends of lines may stand in a prompt
    except UnicodeDecodeError as error:
        raise ShotListError(
            f"{printable(path)} is not UTF-8 text ({error}); expected a JSON object on each line"
        ) from error
    except IsADirectoryError as error:
        raise ShotListError(
            f"{printable(path)} is a folder; expected a list of shots. The command shots makes one of it"
        ) from error
    shots: dict[str, Shot] = {}
    places: dict[str, int] = {}
    wrong: dict[int, str] = {}
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            shot = _parse(line, path.parent, defaults or {})
            _check_new(shot.name, places)
        except (ValueError, OSError) as error:
            wrong[number] = str(error)
        else:
            shots[shot.name], places[shot.name.casefold()] = shot, number
    if wrong:
        (first, message), *others = wrong.items()
        more = ", ".join([*(str(number) for number, _ in others[:_SHOWN]), *(["..."] if len(others) > _SHOWN else [])])
        raise ShotListError(f"{printable(path)}, line {first}: {message}{f'. Also wrong: line {more}' if more else ''}")
    if not shots:
        raise ShotListError(f"{printable(path)} has no shots; expected a JSON object on each line")
    return list(shots.values())


def write_shots(path: Path, entries: Sequence[Mapping[str, object]]) -> None:
    """Write a list that `read_shots` reads; it appears whole or not at all.

    Raises:
        OSError: it cannot be written.
    """
    with written_whole(path) as unfinished:
        unfinished.write_text(
            "".join(json.dumps(entry, ensure_ascii=False) + "\n" for entry in entries), encoding="utf-8"
        )


def _parse(line: str, folder: Path, defaults: Mapping[str, object]) -> Shot:
    try:
        entry = json.loads(line, object_pairs_hook=_once, parse_int=_whole)
    except RecursionError as error:
        raise ValueError("too many brackets; expected one object of a few fields") from error
    except json.JSONDecodeError as error:
        raise ValueError(
            f'no JSON ({error.msg}, column {error.colno}); expected an object such as {{"name": ..., "keyframes": ...}}'
        ) from error
    if re.search("[\ud800-\udfff]", json.dumps(entry, ensure_ascii=False)):
        raise ValueError(r"half of a character, \ud800 to \udfff; give both halves, or the character itself")
    if not isinstance(entry, dict):
        raise ValueError(f"a JSON {type(entry).__name__}; expected an object with name and keyframes")
    return parse_shot(entry, folder, defaults)


def _once(pairs: list[tuple[str, object]]) -> dict[str, object]:
    """An object, of which no key comes twice."""
    entry = dict(pairs)
    if len(entry) < len(pairs):
        twice = next(key for index, (key, _) in enumerate(pairs) if key in dict(pairs[:index]))
        raise ValueError(f"{twice} comes twice; give it once")
    return entry


def _whole(digits: str) -> int:
    """A whole number; ValueError for one that is longer than any that a shot has."""
    if len(digits) > _MOST_DIGITS:
        raise ValueError(f"a number of {len(digits)} digits; expected at most {_MOST_DIGITS}")
    return int(digits)


def _check_new(name: str, places: Mapping[str, int]) -> None:
    """Raise ValueError where an earlier line has that name; some file systems do not tell a from A."""
    if (before := places.get(name.casefold())) is not None:
        raise ValueError(f"name is {name}, as in line {before}; give each shot a name of its own")
