"""ToonCrafter Save GIF: frames as an animation that every program shows."""

from __future__ import annotations

import os
from pathlib import Path

import folder_paths
from comfy_api.latest import io, ui
from torch import Tensor

from ...tooncrafter_core.files.media import write_frames
from ...tooncrafter_core.inputs import printable, shortened
from .. import checks
from .inputs import FRAMES_CATEGORY


class ToonCrafterSaveGif(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="ToonCrafterSaveGif",
            display_name="ToonCrafter Save GIF",
            category=FRAMES_CATEGORY,
            description="Saves frames as a GIF that repeats. A GIF has 256 colours and no soft transparency: what is "
            "transparent comes on white. Save Animated WEBP and Save Video keep more.",
            is_output_node=True,
            inputs=[
                io.Image.Input("frames", tooltip="Frames in order."),
                io.String.Input(
                    "filename_prefix",
                    default="ToonCrafter",
                    tooltip="What the file's name begins with, in ComfyUI's output folder; may name a folder in it.",
                ),
                io.Int.Input(
                    "fps", default=12, min=1, max=50, tooltip="Frames per second; a GIF counts in hundredths of one."
                ),
            ],
        )

    @classmethod
    def execute(cls, frames: Tensor, filename_prefix: str, fps: int) -> io.NodeOutput:
        checks.widgets(cls, {"filename_prefix": filename_prefix, "fps": fps})
        pictures = checks.pictures(frames, "frames")
        _check_inside(filename_prefix)
        height, width = pictures.shape[-2:]
        folder, name, number, below, _ = folder_paths.get_save_image_path(
            filename_prefix, folder_paths.get_output_directory(), width, height
        )
        file = f"{name}_{number:05}_.gif"
        write_frames(pictures, Path(folder) / file, fps)
        return io.NodeOutput(ui=ui.SavedImages([ui.SavedResult(file, below, io.FolderType.output)], is_animated=True))


def _check_inside(prefix: str) -> None:
    """Raise ValueError for a name outside ComfyUI's output folder."""
    output = Path(folder_paths.get_output_directory()).absolute()
    if not Path(os.path.abspath(output / prefix)).is_relative_to(output):
        raise ValueError(
            f"filename_prefix is {shortened(prefix)}, which leads out of {printable(output)}; expected a name in that "
            "folder, such as ToonCrafter or shots/hop"
        )
