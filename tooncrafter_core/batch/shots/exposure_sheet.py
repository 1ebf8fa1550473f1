"""An exposure sheet as shots: a CSV file with a row for each frame at which something is drawn.

| column | is |
| --- | --- |
| `frame` | the frame's number |
| `keyframe` | a picture; a frame without one is an in-between |
| `sketch` | a line drawing for the frame, `middle.png` or `middle.png@0.8` |
| `shot` | the shot's name; without that column the whole sheet is one shot |
| any other field of a shot | of the whole shot, in one of its rows or in all |
"""

from __future__ import annotations

import csv
import json
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from .keyframe_folder import Entry, Line, relative, shot_name
from .shot import FIELDS, parse_shot

_OWN = ("frame", "keyframe", "sketch", "shot")
_OF_A_SHOT = tuple(name for name in FIELDS if name not in ("name", "keyframes", "frame_numbers", "frames", "sketches"))
_TEXTS = ("prompt", "negative_prompt", "fit")
"""Fields that are never numbers, whatever they look like."""


def lines_of_sheet(path: Path, list_folder: Path) -> list[Line]:
    """The shots of an exposure sheet, in the order of their first rows.

    Args:
        path: the sheet; pictures are looked for in its folder.
        list_folder: where the list will be, from which its paths lead.

    Raises:
        FileNotFoundError: no such file.
        ValueError: an unknown column, or rows that do not make shots; names the line.
    """
    if not os.path.isfile(path):  # Path.is_file raises where a name is too long
        raise FileNotFoundError(f"there is no folder or exposure sheet {path}; check the path")
    shots: dict[str, _Rows] = {}
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            for line, row in _rows(file, path):
                name = row.pop("shot", "") or shot_name(path.stem)
                try:
                    shots.setdefault(name, _Rows(line)).add(row, path.parent, list_folder)
                except ValueError as error:
                    raise ValueError(f"{path}, line {line}: {error}") from error
    except (UnicodeDecodeError, csv.Error) as error:
        raise ValueError(f"{path} is no CSV in UTF-8 ({error}); save it as one") from error
    if not shots:
        raise ValueError(f"{path} has no rows; expected one for each keyframe, below the names frame,keyframe")
    lines = []
    for name, rows in shots.items():
        entry = rows.entry(name)
        try:
            lines.append(Line(entry, parse_shot(entry, list_folder, {})))
        except ValueError as error:
            raise ValueError(f"{path}, shot {name} from line {rows.line} on: {error}") from error
    return lines


def _rows(file: Iterator[str], path: Path) -> Iterator[tuple[int, dict[str, str]]]:
    """Rows in which something stands, with the numbers of their lines."""
    reader = csv.DictReader(file, restkey="", restval="")
    names = [name.strip() for name in reader.fieldnames or ()]
    _check_columns(names, path)
    reader.fieldnames = names
    for row in reader:
        if row.get(""):
            raise ValueError(f"{path}, line {reader.line_num}: more cells than the {len(names)} columns")
        cells = {name: value.strip() for name, value in row.items() if value.strip()}
        if cells:
            yield reader.line_num, cells


def _check_columns(names: Sequence[str], path: Path) -> None:
    for needed in ("frame", "keyframe"):
        if needed not in names:
            raise ValueError(f"{path}, line 1: no column {needed}; expected frame, keyframe, and maybe sketch and shot")
    known = (*_OWN, *_OF_A_SHOT)
    for name in names:
        if name not in known or names.count(name) > 1:
            raise ValueError(
                f"{path}, line 1: the column {name!r} is unknown, or comes twice; expected {', '.join(known)}"
            )


@dataclass
class _Rows:
    """The rows of one shot; `line` is the first one's."""

    line: int
    keyframes: dict[int, str] = field(default_factory=dict)
    sketches: dict[str, str] = field(default_factory=dict)
    sketched: set[int] = field(default_factory=set)
    more: Entry = field(default_factory=dict)

    def add(self, row: dict[str, str], folder: Path, list_folder: Path) -> None:
        text = row.pop("frame", "")
        keyframe, sketch = row.pop("keyframe", ""), row.pop("sketch", "")
        if keyframe or sketch:
            if not text.isascii() or not text.isdigit() or len(text) > 9:
                raise ValueError(f"frame is {text!r}; expected a whole number")
            if int(text) <= max(self.keyframes, default=-1):
                raise ValueError(f"frame is {text}, after {max(self.keyframes)}; expected rising frames in a shot")
        if keyframe:
            self.keyframes[int(text)] = _file(keyframe, folder, list_folder)
        if sketch:
            name, at, strength = sketch.rpartition("@") if "@" in sketch else (sketch, "", "")
            if int(text) in self.sketched:
                raise ValueError(f"frame {text} has a sketch already; give it one")
            self.sketched.add(int(text))
            self.sketches[f"{int(text)}{at}{strength}"] = _file(name, folder, list_folder)
        for name, value in row.items():
            given = value if name in _TEXTS else _value(value)
            if self.more.setdefault(name, given) != given:
                raise ValueError(f"{name} is {value}, and {self.more[name]} before; a shot has one")

    def entry(self, name: str) -> Entry:
        """What a line says of the shot."""
        drawn: Entry = {"keyframes": list(self.keyframes.values()), "frame_numbers": list(self.keyframes)}
        return {"name": name, **drawn, **({"sketches": self.sketches} if self.sketches else {}), **self.more}


def _file(name: str, folder: Path, list_folder: Path) -> str:
    path = folder / name
    if not os.path.isfile(path):
        raise ValueError(f"no picture {name}; expected one in {folder}, or a whole path")
    return relative(path, list_folder)


def _value(text: str) -> object:
    """A cell as JSON, or as it stands."""
    try:
        return json.loads(text, parse_constant=int)  # which refuses NaN, as JSON does
    except (ValueError, RecursionError):
        return text
