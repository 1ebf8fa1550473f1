"""ToonCrafter Load Pictures: a folder of drawings, or several by name, as a list."""

from __future__ import annotations

import math
from pathlib import Path

import folder_paths
from comfy_api.latest import io

from ..tooncrafter_core.files.media import read_image
from ..tooncrafter_core.files.pictures import picture_files
from ..tooncrafter_core.frames.sheets import parse_tint
from . import checks
from .host.interruption import stop_if_interrupted
from .types import CATEGORY


class ToonCrafterLoadPictures(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="ToonCrafterLoadPictures",
            display_name="ToonCrafter Load Pictures",
            category=CATEGORY,
            description="All pictures of a folder, or several by name, each at its own size, as one list: for Encode "
            "Keyframes or Sketch Guide. Files of a folder come as they are numbered, 2 before 10.",
            inputs=[
                io.String.Input(
                    "pictures",
                    default="tooncrafter_first.png\ntooncrafter_last.png",
                    multiline=True,
                    tooltip="A folder, or names of pictures, one a line: in ComfyUI's input folder, or whole paths. Of "
                    "an animation the first frame is taken; Load Image reads them all.",
                ),
                io.String.Input(
                    "background",
                    default="#ffffff",
                    tooltip="Colour that transparent pictures come on, such as #ffffff.",
                ),
            ],
            outputs=[
                io.Image.Output(
                    display_name="pictures",
                    is_output_list=True,
                    tooltip="A list of pictures. Nodes that take no lists run once for each.",
                )
            ],
        )

    @classmethod
    def fingerprint_inputs(cls, pictures: str | None, background: str | None) -> object:
        """What the files are now: with another of them, or a changed one, the node runs again; so it does each time
        where names come over a wire, which are not known yet (None)."""
        if pictures is None:
            return math.nan
        stats = [(path, path.stat()) for path in _files(pictures)]
        return [background, *(f"{path} {stat.st_mtime_ns} {stat.st_size}" for path, stat in stats)]

    @classmethod
    def execute(cls, pictures: str, background: str) -> io.NodeOutput:
        checks.widgets(cls, {"pictures": pictures, "background": background})
        paper = parse_tint(background)
        loaded = []
        for path in _files(pictures):
            stop_if_interrupted()
            loaded.append(read_image(path, paper).movedim(0, -1)[None])
        return io.NodeOutput(loaded)


def _files(pictures: str) -> list[Path]:
    return picture_files(pictures.splitlines(), Path(folder_paths.get_input_directory()))
