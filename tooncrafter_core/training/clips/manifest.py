"""A list of clips to train on: one JSON object on each line of a file, or of several."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

from ...files.pictures import natural_key
from ...files.whole import written_whole
from ...inputs import shortened

SPLITS = ("train", "held_out")
Domain = Literal["film", "toon", "drawn", "curved", "figures", "lines"]
DOMAINS: tuple[Domain, ...] = get_args(Domain)
_TEXTS = ("path", "caption", "split", "source", "domain")
_NUMBERS = {"fps": (1e-3, 1e3), "motion": (0.0, 1e5)}
"""Least and most of each."""
_LONGEST_PATH = 4096
"""Characters; no system opens a longer one."""


class ManifestError(ValueError):
    """A clip list that cannot be used: names the file, the line and the key."""


@dataclass(frozen=True)
class Clip:
    """One clip of a clip list."""

    path: Path
    """A video file, or a folder of frames as pictures in the order of their names."""
    fps: float
    """Frames per second."""
    caption: str
    split: str
    """`train` or `held_out`."""
    source: str
    """What the clip was cut from, such as a shot of a film or a drawn character. A source belongs to one split."""
    domain: str
    """One of DOMAINS: film, animated characters (`toon`), or this project's own simple scenes, on straight lines
    (`drawn`) or on curves (`curved`), several at once with limbs (`figures`), or such as ink on paper (`lines`)."""
    motion: float
    """95th percentile of motion over 16 frames, in px of the clip."""


def read_manifest(*paths: str | Path) -> list[Clip]:
    """Read a clip list. Its clips' paths are relative to their file's folder; whether they exist is not checked here.

    Args:
        paths: of the list's file, or of several that are one list in this order.

    Raises:
        FileNotFoundError: no such file.
        ManifestError: no clips, broken JSON, a missing or unknown key, a wrong value, a source in both splits.
    """
    clips: list[Clip] = []
    places: list[str] = []
    for path in map(Path, paths):
        for number, line in _lines(path):
            places.append(f"{path}, line {number}")
            clips.append(_parse(line, path.parent, places[-1]))
    _check_splits(clips, places, ", ".join(map(str, paths)))
    return clips


def manifest_files(path: Path) -> list[Path]:
    """The files of a clip list: the path's own, or of a folder all `.jsonl` in the order of their names and numbers.

    Raises:
        ValueError: nothing is there, or a folder without such files.
    """
    files = [path]
    if os.path.isdir(path):  # Path.is_dir raises where a name is too long
        inside = [file for file in path.glob("*.jsonl") if file.is_file()]
        files = sorted(inside, key=lambda file: natural_key(file.name))
    if not files:
        raise ValueError(f"{path} has no .jsonl files; expected those of a clip list")
    if not os.path.isfile(files[0]):
        raise ValueError(f"there is no file {path}; correct the path")
    return files


def write_manifest(path: str | Path, clips: Sequence[Clip]) -> None:
    """Write a clip list that `read_manifest` reads. The file appears complete or not at all.

    Raises:
        ManifestError: what `read_manifest` would refuse.
    """
    path = Path(path)
    lines = []
    for number, clip in enumerate(clips, start=1):
        row = {**vars(clip), "path": Path(os.path.relpath(clip.path, path.parent)).as_posix()}
        _check_row(row, f"{path}, line {number}")
        lines.append(json.dumps(row, ensure_ascii=False))
    _check_splits(clips, [f"{path}, line {number}" for number in range(1, len(lines) + 1)], str(path))
    with written_whole(path) as unfinished:
        unfinished.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")


def _lines(path: Path) -> Iterator[tuple[int, str]]:
    """Lines of a file in which something stands, with their numbers."""
    if not os.path.exists(path):
        raise FileNotFoundError(f"there is no clip list {path}; check the path")
    if os.path.isdir(path):
        raise ManifestError(f"{path} is a folder; expected the file of a clip list, such as {path / 'manifest.jsonl'}")
    try:
        lines = path.read_text(encoding="utf-8-sig").split("\n")  # other ends of lines may stand in a caption
    except UnicodeDecodeError as error:
        raise ManifestError(f"{path} is not UTF-8 text ({error}); expected a JSON object on each line") from error
    return ((number, line) for number, line in enumerate(lines, start=1) if line.strip())


def _parse(line: str, folder: Path, where: str) -> Clip:
    try:
        row = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise ManifestError(f'{where} is not JSON ({error}); expected one object such as {{"path": ...}}') from error
    if not isinstance(row, dict):
        raise ManifestError(f"{where} is a JSON {type(row).__name__}; expected an object with {_keys()}")
    _check_row(row, where)
    return Clip(**{**row, "path": folder / row["path"], "fps": float(row["fps"]), "motion": float(row["motion"])})


def _check_row(row: dict[str, object], where: str) -> None:
    for key in (*_TEXTS, *_NUMBERS):
        if key not in row:
            raise ManifestError(f"{where}: key '{key}' is missing; expected {_keys()}")
    if unknown := sorted(row.keys() - {*_TEXTS, *_NUMBERS}):
        raise ManifestError(f"{where}: key {shortened(unknown[0])} is unknown; expected {_keys()}")
    for key in _TEXTS:
        value = row[key]
        if not isinstance(value, str) or (not value and key != "caption"):
            raise ManifestError(f"{where}: key '{key}' is {shortened(value)}; expected a text")
        try:
            value.encode()
        except UnicodeEncodeError as error:
            raise ManifestError(
                f"{where}: key '{key}' holds half of a character, or a name that is not UTF-8; write it again"
            ) from error
    for key, allowed in (("split", SPLITS), ("domain", DOMAINS)):
        if row[key] not in allowed:
            raise ManifestError(f"{where}: key '{key}' is {shortened(row[key])}; expected one of {', '.join(allowed)}")
    if len(str(row["path"])) > _LONGEST_PATH:
        raise ManifestError(
            f"{where}: key 'path' has {len(str(row['path']))} characters; expected at most {_LONGEST_PATH}"
        )
    for key, (least, most) in _NUMBERS.items():
        value = row[key]
        if isinstance(value, bool) or not isinstance(value, (int, float)) or not least <= value <= most:
            raise ManifestError(
                f"{where}: key '{key}' is {shortened(value)}; expected a number from {least:g} to {most:g}"
            )


def _check_splits(clips: Sequence[Clip], places: Sequence[str], files: str) -> None:
    if not clips:
        raise ManifestError(f"{files} lists no clips; expected a JSON object with {_keys()} on each line")
    seen: dict[str, tuple[str, str]] = {}
    for clip, place in zip(clips, places, strict=True):
        split, first = seen.setdefault(clip.source, (clip.split, place))
        if split != clip.split:
            raise ManifestError(
                f"{place}: key 'split' is {clip.split!r}, but source {shortened(clip.source)} is {split!r} in {first}; "
                "expected every source in one split, or held-out results would say nothing"
            )


def _keys() -> str:
    return "the keys " + ", ".join((*_TEXTS, *_NUMBERS))
