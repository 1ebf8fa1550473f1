"""A shot, and how it is read from what one line of a list says."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from difflib import get_close_matches
from itertools import pairwise
from pathlib import Path
from typing import cast

from ...files.pictures import picture_files
from ...files.whole import OWN_NAMES
from ...inputs import shortened
from ...settings import Settings
from ...sketches.indices import parse_frame_indices, parse_strength
from ...sketches.placed import STRONGEST
from ...timeline import segment_frames, total_frames
from .retiming import Retiming

SETTINGS = tuple(field.name for field in fields(Settings) if field.name != "frames")
FIELDS = (
    *("name", "keyframes", "frame_numbers", "frames", "sketches", "retiming"),
    *SETTINGS,
)
"""Keys of a line."""
_NAME = re.compile(r"\w[\w-]{0,99}")
_SKETCH = '{"7": "middle.png", "50%@0.8": "other.png"}'


@dataclass(frozen=True)
class ShotSketch:
    """A line drawing for a frame of the shot, which begins at 0; without a strength it has that of all."""

    frame: int
    picture: Path
    strength: float | None


@dataclass(frozen=True)
class Shot:
    """What is drawn, and how.

    Attributes:
        name: its result's.
        keyframes: pictures in order.
        counts: frames of each segment, see `timeline`.
        sketches: line drawings, by rising frame.
        retiming: what happens to the frames that were drawn.
        settings: everything else; its `frames` are `counts`.
    """

    name: str
    keyframes: tuple[Path, ...]
    counts: tuple[int, ...]
    sketches: tuple[ShotSketch, ...]
    retiming: Retiming
    settings: Settings

    @property
    def total(self) -> int:
        """Frames that are drawn, before retiming."""
        return total_frames(self.counts, self.settings.loop)

    @property
    def pictures(self) -> list[Path]:
        """Everything that is read: keyframes, then sketches."""
        return [*self.keyframes, *(sketch.picture for sketch in self.sketches)]

    @property
    def strengths(self) -> list[float]:
        """Of each sketch: its own, or that of all."""
        return [self.settings.sketch_strength if each.strength is None else each.strength for each in self.sketches]


def parse_shot(entry: Mapping[str, object], folder: Path, defaults: Mapping[str, object]) -> Shot:
    """Read a shot from its line.

    Args:
        entry: by FIELDS; `name` and `keyframes` have to be there.
        folder: where its pictures are looked for.
        defaults: what counts where the line says nothing, likewise.

    Raises:
        ValueError: an unknown field, a wrong value, or a picture that is not there.
    """
    for field in entry:
        if field not in FIELDS:
            near = get_close_matches(field, FIELDS, 1)
            raise ValueError(f"{shortened(field)} is unknown; expected {near[0] if near else ', '.join(FIELDS)}")
    given = {"frames": 16, **defaults, **entry}
    _check_name(given.get("name"))
    settings = Settings(**{name: given[name] for name in SETTINGS if name in given})  # type: ignore[arg-type]
    keyframes = tuple(picture_files(_texts(given.get("keyframes")), folder))
    numbers = _frame_numbers(given.get("frame_numbers"), len(keyframes), settings.loop)
    if numbers and "frames" in entry:
        raise ValueError("frame_numbers and frames both say how many frames a segment has; give one of them")
    spaced = tuple(after - before + 1 for before, after in pairwise(numbers))
    counts = segment_frames(len(keyframes), spaced or cast(str, given["frames"]), settings.loop)
    return Shot(
        name=cast(str, given["name"]),
        keyframes=keyframes,
        counts=counts,
        sketches=_sketches(given.get("sketches", {}), folder, counts, settings.loop, numbers[0] if numbers else 0),
        retiming=_retiming(given.get("retiming", {})),
        settings=replace(settings, frames=counts),
    )


def _check_name(name: object) -> None:
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        raise ValueError(f"name is {shortened(name)}; expected up to 100 letters, digits, _ and -, such as sc010_sh020")
    if name.casefold().startswith(OWN_NAMES):
        raise ValueError(f"name is {name}; results in work have names with {' and '.join(OWN_NAMES)}, choose another")


def _texts(keyframes: object) -> list[str]:
    names = [keyframes] if isinstance(keyframes, str) else keyframes
    if not isinstance(names, list) or not names or not all(isinstance(name, str) and name.strip() for name in names):
        raise ValueError(f"keyframes is {shortened(keyframes)}; expected a folder, or a list of files and folders")
    return names


def _frame_numbers(numbers: object, keyframes: int, loop: bool) -> Sequence[int]:
    """Rising numbers of the keyframes' frames, in a loop with the one at which the first comes again; or none."""
    if numbers is None:
        return ()
    wanted = keyframes + 1 if loop else keyframes
    if not isinstance(numbers, list) or not all(isinstance(n, int) and not isinstance(n, bool) for n in numbers):
        raise ValueError(f"frame_numbers is {shortened(numbers)}; expected a list of whole numbers such as [1, 9, 25]")
    if len(numbers) != wanted:
        again = ", and one more for the frame at which the first comes again" if loop else ""
        raise ValueError(
            f"frame_numbers has {len(numbers)} numbers; expected one for each of {keyframes} keyframes{again}"
        )
    for before, after in pairwise(numbers):
        if after <= before:
            raise ValueError(f"frame_numbers goes from {before} to {after}; expected rising numbers")
    return numbers


def _sketches(given: object, folder: Path, counts: Sequence[int], loop: bool, first: int) -> tuple[ShotSketch, ...]:
    """Drawings by frame, as frame numbers count where keyframes have them; `first` is the first one then."""
    if not isinstance(given, dict) or not all(isinstance(file, str) and file for file in given.values()):
        raise ValueError(f"sketches is {shortened(given)}; expected a file for each frame, such as {_SKETCH}")
    found: dict[int, ShotSketch] = {}
    for text, name in given.items():
        frame, own, strength = text.partition("@")
        index = _frame(frame.strip(), counts, loop, first)
        files = picture_files([name], folder)
        if index in found or len(files) != 1:
            raise ValueError(
                f"the sketch {shortened(text)} has {len(files)} file(s), or its frame has another; expected one"
            )
        found[index] = ShotSketch(index, files[0], parse_strength(strength, STRONGEST) if own else None)
    return tuple(found[index] for index in sorted(found))


def _frame(text: str, counts: Sequence[int], loop: bool, first: int) -> int:
    total = total_frames(counts, loop)
    if first and re.fullmatch(r"\d{1,9}", text, re.ASCII):
        if not first <= int(text) < first + total:
            raise ValueError(f"sketch at frame {text}; expected {first} to {first + total - 1}, as frame_numbers count")
        return int(text) - first
    (index,) = parse_frame_indices(text, 1, total, counts)
    return index


def _retiming(given: object) -> Retiming:
    names = [field.name for field in fields(Retiming)]
    if not isinstance(given, dict) or not set(given) <= set(names):
        raise ValueError(f'retiming is {shortened(given)}; expected {{"curve": ..., ...}} with {", ".join(names)}')
    return Retiming(**given)
