"""True clips, and folders of frames that a method drew of them.

A folder holds one sub-folder of pictures for each clip, or the pictures of one clip. Beside the true clips may lie
`clips.json`, which says more about them: `{"CLIP": {"group": "film", "fps": 24, "prompt": "a cat jumps"}}`, each key
optional.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import torch
from torch import Tensor

from ..files.media import read_image
from ..files.pictures import natural_key, picture_files
from ..files.stored_tensor import listing
from ..inputs import check_text, shortened

ABOUT = "clips.json"
FEWEST = 3
"""Frames of a clip: two keyframes and something between them."""
SMALLEST = 16
"""Fewest pixels of a side that all measures take."""
_KINDS: dict[str, tuple[type, ...]] = {"group": (str,), "fps": (int, float), "prompt": (str,)}
_RATES = (1, 60)

Found = TypeVar("Found")
"""A clip's files, in the form a method has them."""


@dataclass(frozen=True)
class Clip:
    """A true clip; its first and last frame are the keyframes.

    Attributes:
        name: of its folder.
        files: its frames.
        group: clips of a group have a table of their own; empty where there are no groups.
        fps: frames per second, 1 to 60.
        prompt: what it shows, for models that take one.
    """

    name: str
    files: tuple[Path, ...]
    group: str = ""
    fps: int = 24
    prompt: str = ""

    def frames(self) -> Tensor:
        """All frames (t, 3, H, W) in [0, 1]."""
        return read_frames(self.files)


def read_clips(folder: Path, fps: int) -> list[Clip]:
    """The true clips in a folder, in natural order of their names.

    Args:
        folder: one sub-folder for each clip, or one clip's pictures.
        fps: of clips for which `clips.json` says nothing.

    Raises:
        ValueError: no clips, one of fewer than 3 frames or below 16 pixels, or a `clips.json` that does not fit.
    """
    found = frame_files(folder)
    about = _read_about(folder / ABOUT, found)
    clips = []
    for name, files in found.items():
        if len(files) < FEWEST:
            raise ValueError(
                f"the clip {files[0].parent} has {len(files)} frames; expected {FEWEST} or more, the first and last "
                "of which are the keyframes"
            )
        height, width = read_image(files[0]).shape[1:]
        if min(height, width) < SMALLEST:
            raise ValueError(f"{files[0]} is {width} x {height} pixels; expected sides of {SMALLEST} or more")
        own = {"fps": fps, **about.get(name, {})}
        clips.append(Clip(name, tuple(files), own.get("group", ""), round(own["fps"]), own.get("prompt", "")))
    return clips


def frame_files(folder: Path) -> dict[str, list[Path]]:
    """Clip -> its pictures in natural order. Pictures right in the folder are one clip of the folder's name.

    Raises:
        ValueError: no such folder, no pictures in it, or a name that is not UTF-8.
    """
    if not os.path.isdir(folder):  # Path.is_dir raises where a name is too long
        there = "a file" if os.path.exists(folder) else "not there"
        raise ValueError(f"{folder} is {there}; expected a folder of frames")
    inside = sorted((entry for entry in folder.iterdir() if _is_clip(entry)), key=lambda entry: natural_key(entry.name))
    for clip in inside or [folder]:
        check_text(clip)
    if not inside:
        return {folder.resolve().name: picture_files([str(folder.absolute())], folder)}
    return {entry.name: picture_files([str(entry.absolute())], folder) for entry in inside}


def of_clips(found: Mapping[str, Found], clips: Sequence[Clip], path: Path, expected: str) -> dict[str, Found]:
    """What a method has of each true clip; the only one there is may have any name.

    Args:
        found: by name.
        clips: the true ones.
        path: where it was found, for the message.
        expected: what there should be of each, likewise.

    Raises:
        ValueError: a clip is missing.
    """
    if len(clips) == len(found) == 1:
        return {clips[0].name: next(iter(found.values()))}
    if missing := [clip.name for clip in clips if clip.name not in found]:
        raise ValueError(
            f"{path} does not fit the truth ({listing('missing', missing)}); expected {expected} for each of the "
            f"{len(clips)} true clips, of its name"
        )
    return dict(found)


def read_frames(files: tuple[Path, ...] | list[Path]) -> Tensor:
    """Pictures as frames (t, 3, H, W) in [0, 1].

    Raises:
        ValueError: one is no picture, or of another size than the first.
    """
    frames = [read_image(file) for file in files]
    for file, frame in zip(files, frames, strict=True):
        if frame.shape != frames[0].shape:
            raise ValueError(
                f"{file} is {size(frame)}, and {files[0]} is {size(frames[0])}; expected frames of one size"
            )
    return torch.stack(frames)


def size(frames: Tensor) -> str:
    """Width and height of pictures (..., H, W), for messages."""
    return f"{frames.shape[-1]} x {frames.shape[-2]} pixels"


def _is_clip(entry: Path) -> bool:
    return entry.is_dir() and not entry.name.startswith(".")


def _read_about(path: Path, found: Mapping[str, object]) -> dict[str, dict[str, Any]]:
    """What `clips.json` says of each clip; nothing where there is none."""
    if not path.exists():
        return {}
    try:
        about = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise ValueError(f'{path} is not JSON ({error}); expected {{"CLIP": {{"fps": 24, "prompt": ...}}}}') from error
    if not isinstance(about, dict) or not all(isinstance(entry, dict) for entry in about.values()):
        raise ValueError(f"{path} is {shortened(about)}; expected an object for each clip's name")
    for name, entry in about.items():
        if name not in found:
            raise ValueError(f"{path} names the clip {shortened(name)}, which is no folder beside it")
        _check_entry(entry, f"{path}, clip {name}")
    return about


def _check_entry(entry: Mapping[str, Any], where: str) -> None:
    for key, value in entry.items():
        if key not in _KINDS:
            raise ValueError(f"{where}: key {shortened(key)} is unknown; expected {', '.join(_KINDS)}")
        if not isinstance(value, _KINDS[key]) or isinstance(value, bool):
            raise ValueError(
                f"{where}: {key} is {shortened(value)}; expected {'a number' if key == 'fps' else 'a text'}"
            )
    low, high = _RATES
    if not low <= entry.get("fps", low) <= high:
        raise ValueError(f"{where}: fps is {entry['fps']}; expected {low} to {high}")
