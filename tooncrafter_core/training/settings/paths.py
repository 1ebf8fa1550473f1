"""Kinds of paths in a settings file, checked as it is read; they are seen from its folder."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator, BeforeValidator, Field, ValidationInfo

from ..clips.manifest import manifest_files


def _resolve(path: Path, info: ValidationInfo) -> Path:
    """Paths are seen from the settings file's folder; `~` is the user's."""
    return (info.context or {}).get("folder", Path()) / path.expanduser()


def _new_folder(path: Path, info: ValidationInfo) -> Path:
    path = _resolve(path, info)
    if os.path.isfile(path):  # Path.is_file raises where a name is too long
        raise ValueError(f"{path} is a file; expected a folder, or nothing there yet")
    return path


def _existing(path: Path, info: ValidationInfo) -> Path:
    path = _resolve(path, info)
    if not os.path.isfile(path):
        raise ValueError(f"there is no file {path}; correct the path")
    return path


def _listed(paths: object) -> object:
    """One path as a list of one."""
    return [paths] if isinstance(paths, str | Path) else paths


def _clip_list(paths: tuple[Path, ...], info: ValidationInfo) -> tuple[Path, ...]:
    files = tuple(file for path in paths for file in manifest_files(_resolve(path, info)))
    if len(files) > len(set(files)):
        raise ValueError("a file of clips is named twice; name each once, itself or by its folder")
    return files


Folder = Annotated[Path, AfterValidator(_new_folder)]
ExistingFile = Annotated[Path, AfterValidator(_existing)]
ClipList = Annotated[
    tuple[Path, ...], Field(min_length=1, strict=False), BeforeValidator(_listed), AfterValidator(_clip_list)
]
