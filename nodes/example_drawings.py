"""This pack's example drawings in ComfyUI's input folder, where the shipped workflows look for them."""

from __future__ import annotations

import logging
import os
import shutil
from pathlib import Path

import folder_paths

_DRAWINGS = Path(__file__).parents[1] / "assets" / "keyframes"
_PREFIX = "tooncrafter_"

log = logging.getLogger(__name__)


def offer_drawings() -> None:
    """Copy the example drawings that the input folder lacks into it, as tooncrafter_NAME; what is there stays.

    A folder that cannot be written is a warning: everything but the shipped workflows works without the drawings.
    """
    folder = Path(folder_paths.get_input_directory())
    for drawing in sorted(_DRAWINGS.iterdir()):
        offered = folder / f"{_PREFIX}{drawing.name}"
        if offered.exists():
            continue
        beside = offered.with_name(f".{offered.name}.{os.getpid()}")
        try:
            shutil.copyfile(drawing, beside)
            beside.replace(offered)
        except OSError as error:
            beside.unlink(missing_ok=True)
            log.warning("ToonCrafter: the example drawings could not be copied into %s: %s", folder, error)
            return
