"""What a model file says about how it works best, beside its tensors: JSON in the safetensors header."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import TypeGuard

from safetensors import safe_open

from ..inputs import shortened
from .weight_file import is_safetensors

METADATA_KEY = "tooncrafter.working_settings"
_FRACTIONS = ("guidance_scale", "sketch_strength")
"""Entries that need not be whole."""
_FAR = 2
"""How many times as much, or as little, is told."""
_MOST = 1_000_000
"""No entry is larger, nor one of `preview` farther from 0."""


@dataclass(frozen=True)
class WorkingSettings:
    """Settings that a file's model was trained for or measured best with; None where the file does not say.

    Attributes:
        width: of the pictures, pixels.
        height: likewise.
        frames: of a segment.
        frame_rate: frames per second the model is told.
        steps: sampling steps.
        guidance_scale: weight of the prompt; 1 is without guidance.
        sketch_strength: of the sketch encoder that belongs to it.
        preview: for each latent channel what it adds to red, green and blue in [-1, 1], for a host's previews; empty
            where nobody knows.
        clean_end: whether the last step is to remove all noise, see `ddim.Walk`.
    """

    width: int | None = None
    height: int | None = None
    frames: int | None = None
    frame_rate: int | None = None
    steps: int | None = None
    guidance_scale: float | None = None
    sketch_strength: float | None = None
    preview: tuple[tuple[float, float, float], ...] = ()
    clean_end: bool = False

    def to_metadata(self) -> dict[str, str]:
        """Metadata of a safetensors file."""
        return {METADATA_KEY: json.dumps({name: value for name, value in asdict(self).items() if value})}

    def warning(self, file: str, steps: int, guidance_scale: float, clean_end: bool) -> str | None:
        """What to tell a user whose settings are far from these: a factor of more than two, or not the end that is
        wanted; None where they are not.

        Args:
            file: name of the file that has these settings.
            steps: that will be taken.
            guidance_scale: that they will be taken with.
            clean_end: whether the last of them will remove all noise.
        """
        chosen = {"steps": steps, "guidance_scale": guidance_scale}
        known = {name: best for name in chosen if (best := getattr(self, name)) is not None}
        far = [name for name, best in known.items() if not best / _FAR <= chosen[name] <= best * _FAR]
        wanted, here = ([f"{name} {values[name]:g}" for name in far] for values in (known, chosen))
        if self.clean_end and not clean_end:
            wanted.append("clean_end on")
            here.append("clean_end off")
        if not wanted:
            return None
        best, chosen_here = " and ".join(wanted), " and ".join(here)
        return f"{file} works best with {best}; here it is {chosen_here}, which costs quality, time or both."


def read_working_settings(path: Path) -> WorkingSettings | None:
    """The settings that a file carries; None where it has none, as files other than safetensors.

    Raises:
        FileNotFoundError: no such file.
        ValueError: they cannot be read; the message names the entry.
    """
    if not is_safetensors(path):
        return None
    with safe_open(path, framework="pt") as file:
        return from_metadata(file.metadata())


def from_metadata(metadata: Mapping[str, str] | None) -> WorkingSettings | None:
    """The settings in a safetensors file's metadata; None where there are none.

    Raises:
        ValueError: they cannot be read; the message names the entry.
    """
    text = (metadata or {}).get(METADATA_KEY)
    if text is None:
        return None
    try:
        entries = json.loads(text)
    except (ValueError, RecursionError) as error:  # also numbers of thousands of digits, and lists in lists in lists
        raise ValueError(f"its metadata {METADATA_KEY} is not JSON: {error}") from error
    names = [field.name for field in fields(WorkingSettings)]
    if not isinstance(entries, dict) or not set(entries) <= set(names):
        raise ValueError(
            f"its metadata {METADATA_KEY} is {shortened(text)}; expected an object with {', '.join(names)}"
        )
    wrong = [name for name, value in entries.items() if not _fits(name, value)]
    if wrong:
        raise ValueError(
            f"its metadata {METADATA_KEY} has {wrong[0]} = {shortened(entries[wrong[0]])}; expected {_wanted(wrong[0])}"
        )
    preview = tuple((float(r), float(g), float(b)) for r, g, b in entries.pop("preview", []))
    return WorkingSettings(**entries, preview=preview)


def _fits(name: str, value: object) -> bool:
    if name == "clean_end":
        return isinstance(value, bool)
    if name == "preview":
        return isinstance(value, list) and all(
            isinstance(row, list) and len(row) == 3 and all(map(_is_number, row)) for row in value
        )
    whole = name not in _FRACTIONS
    return _is_number(value) and value > 0 and (isinstance(value, int) or not whole)


def _is_number(value: object) -> TypeGuard[float]:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and -_MOST <= value <= _MOST


def _wanted(name: str) -> str:
    if name == "clean_end":
        return "true or false"
    if name == "preview":
        return "rows of three numbers"
    return f"a positive {'number' if name in _FRACTIONS else 'integer'} of at most {_MOST:,}"
