"""Puts files and folders where a server looks for them."""

from __future__ import annotations

import logging
import shutil
from pathlib import Path

NOT_PART_OF_THE_PACK = (".*", "__pycache__", "output")

log = logging.getLogger(__name__)


def place(source: Path, target: Path) -> None:
    """Make `target` a link to `source`, or a copy where links are not allowed; never replace anything."""
    if target.exists():
        if not target.samefile(source):
            raise FileExistsError(f"{target} exists already and is not {source}")
        return
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        target.symlink_to(source.resolve(strict=True), target_is_directory=source.is_dir())
    except OSError as refusal:
        log.info("No link to %s can be made (%s), so it is copied", source, refusal)
        _copy(source, target)


def _copy(source: Path, target: Path) -> None:
    if source.is_dir():
        shutil.copytree(source, target, ignore=shutil.ignore_patterns(*NOT_PART_OF_THE_PACK))
    else:
        shutil.copy2(source, target)
