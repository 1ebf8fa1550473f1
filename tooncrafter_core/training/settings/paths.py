"""Kinds of paths in a settings file, checked as it is read; they are seen from its folder."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator, BeforeValidator, Field, ValidationInfo

from ..clips.manifest import manifest_files


def _filled(path: object) -> object:
    if path == "":
        raise ValueError("it is empty; expected a path, or . for the settings file's folder")
    return path


def _resolve(path: Path, info: ValidationInfo) -> Path:
    folder: Path = (info.context or {}).get("folder", Path())
    return folder / os.path.expanduser(path)  # Path.expanduser raises where there is no such user


def _new_folder(path: Path) -> Path:
    if os.path.isfile(path):  # Path.is_file raises where a name is too long
        raise ValueError(f"{path} is a file; expected a folder, or nothing there yet")
    return path


def _existing(path: Path) -> Path:
    if not os.path.isfile(path):
        raise ValueError(f"there is no file {path}; correct the path")
    return path


def _listed(paths: object) -> object:
    """One path as a list of one."""
    return [paths] if isinstance(paths, str | Path) else paths


def _clip_list(paths: tuple[Path, ...]) -> tuple[Path, ...]:
    files = tuple(file for path in paths for file in manifest_files(path))
    if len(files) > len(set(files)):
        raise ValueError("a file of clips is named twice; name each once, itself or by its folder")
    return files


Seen = Annotated[Path, BeforeValidator(_filled), AfterValidator(_resolve)]
"""Any path, seen from the settings file's folder; `~` is the user's."""
Folder = Annotated[Seen, AfterValidator(_new_folder)]
ExistingFile = Annotated[Seen, AfterValidator(_existing)]
ClipList = Annotated[
    tuple[Seen, ...], Field(min_length=1, strict=False), BeforeValidator(_listed), AfterValidator(_clip_list)
]
