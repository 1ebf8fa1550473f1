"""Which files the loaders offer: ComfyUI's, and before them the ones that ship with this pack."""

from __future__ import annotations

from pathlib import Path
from reprlib import Repr

import folder_paths

from ..tooncrafter_core.published import whereabouts

_TINY = Path(__file__).parents[1] / "assets" / "tooncrafter-tiny"

LINE_NETWORKS = "tooncrafter"
"""ComfyUI's name of the folder for weights of line extractors."""
folder_paths.add_model_folder_path(LINE_NETWORKS, str(Path(folder_paths.models_dir) / LINE_NETWORKS))

# Load LoRA is ComfyUI's own node, whose menu takes whole folders.
folder_paths.add_model_folder_path("loras", str(_TINY / "loras"))

BUNDLED = {
    "checkpoints": ("tooncrafter-tiny (bundled)", _TINY / "tooncrafter-tiny.safetensors"),
    "controlnet": ("tooncrafter-tiny sketch encoder (bundled)", _TINY / "tooncrafter-tiny-sketch.safetensors"),
}
"""By ComfyUI's folder: the name shown and the file."""


_NAMES = Repr()
_NAMES.maxstring = _NAMES.maxother = 100


def offered(folder: str) -> list[str]:
    """Names for a loader's menu; the bundled file is the first choice."""
    return [BUNDLED[folder][0], *folder_paths.get_filename_list(folder)]


def check_there(folder: str, name: object) -> bool | str:
    """What ComfyUI asks of a loader before anything runs: True, or what to do about a file that is not there.

    A name that comes over a wire is not known then, and is None.
    """
    if name is None or name in offered(folder):
        return True
    known = " ".join(filter(None, [whereabouts(str(name)), f"Put it into ComfyUI's models/{folder} folder"]))
    return (
        f"{_NAMES.repr(name)} was not found. {known} and press r on the page, or choose {BUNDLED[folder][0]}, which "
        "comes with these nodes: 128 x 64 pixels, 24 fps, 2 steps, guidance scale 1, clean_end."
    )


def path_of(folder: str, name: str) -> Path:
    """The file behind a name of `offered`.

    Raises:
        FileNotFoundError: it has gone.
    """
    shown, path = BUNDLED[folder]
    return path if name == shown else Path(folder_paths.get_full_path_or_raise(folder, name))
