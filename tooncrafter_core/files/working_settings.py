"""What a model file says about how it works best, beside its tensors: JSON in the safetensors header."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from reprlib import repr as shortened
from typing import TypeGuard

METADATA_KEY = "tooncrafter.working_settings"
_FRACTIONS = ("guidance_scale", "sketch_strength")
"""Entries that need not be whole."""
_MOST = 1_000_000
"""No entry is larger, nor one of `preview` farther from 0."""


@dataclass(frozen=True)
class WorkingSettings:
    """Settings that a model was trained for or measured best with.

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
    """

    width: int
    height: int
    frames: int
    frame_rate: int
    steps: int
    guidance_scale: float
    sketch_strength: float
    preview: tuple[tuple[float, float, float], ...] = ()

    def to_metadata(self) -> dict[str, str]:
        """Metadata of a safetensors file."""
        return {METADATA_KEY: json.dumps(asdict(self))}


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
    if not isinstance(entries, dict) or sorted(entries) != sorted(names):
        raise ValueError(f"its metadata {METADATA_KEY} is {shortened(text)}; expected an object with {', '.join(names)}")
    wrong = [name for name in names if not _fits(name, entries[name])]
    if wrong:
        raise ValueError(
            f"its metadata {METADATA_KEY} has {wrong[0]} = {shortened(entries[wrong[0]])}; expected {_wanted(wrong[0])}"
        )
    preview = tuple((float(r), float(g), float(b)) for r, g, b in entries.pop("preview"))
    return WorkingSettings(**entries, preview=preview)


def _fits(name: str, value: object) -> bool:
    if name == "preview":
        return isinstance(value, list) and all(
            isinstance(row, list) and len(row) == 3 and all(map(_is_number, row)) for row in value
        )
    whole = name not in _FRACTIONS
    return _is_number(value) and value > 0 and (isinstance(value, int) or not whole)


def _is_number(value: object) -> TypeGuard[float]:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and -_MOST <= value <= _MOST


def _wanted(name: str) -> str:
    if name == "preview":
        return "rows of three numbers"
    return f"a positive {'number' if name in _FRACTIONS else 'integer'} of at most {_MOST:,}"
