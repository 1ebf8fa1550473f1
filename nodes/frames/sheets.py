"""ToonCrafter Contact Sheet and ToonCrafter Onion Skin: frames to look at together."""

from __future__ import annotations

from typing import Any

from comfy_api.latest import io
from torch import Tensor

from ...tooncrafter_core.frames.sheets import OnionSkin, contact_sheet, onion_skin, parse_tint
from ...tooncrafter_core.sketches.indices import parse_frame_indices
from .. import checks
from .inputs import FRAMES_CATEGORY


class ToonCrafterContactSheet(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="ToonCrafterContactSheet",
            display_name="ToonCrafter Contact Sheet",
            category=FRAMES_CATEGORY,
            description="All frames in one picture, with their numbers. Keyframes and sketched frames are marked.",
            inputs=[
                io.Image.Input("frames", tooltip="Frames in order."),
                io.Int.Input("columns", default=4, min=1, max=64, tooltip="Frames in a row."),
                io.String.Input(
                    "keyframes",
                    default="0, -1",
                    tooltip="Frames to mark as keyframes, such as 0, 15, -1; -1 is the last. May be empty.",
                ),
                io.String.Input(
                    "sketches",
                    default="",
                    tooltip="Frames to mark as sketched: frame_indices of Sketch Guide, such as 5, 9-11. May be empty.",
                ),
            ],
            outputs=[io.Image.Output(display_name="sheet", tooltip="One picture.")],
        )

    @classmethod
    def execute(cls, frames: Tensor, columns: int, keyframes: str, sketches: str) -> io.NodeOutput:
        checks.widgets(cls, {"columns": columns, "keyframes": keyframes, "sketches": sketches})
        pictures = checks.pictures(frames, "frames")
        marked = [parse_frame_indices(text, None, len(pictures)) for text in (keyframes, sketches)]
        sheet = contact_sheet(pictures, columns, *marked)
        return io.NodeOutput(sheet.movedim(0, -1)[None])


class ToonCrafterOnionSkin(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="ToonCrafterOnionSkin",
            display_name="ToonCrafter Onion Skin",
            category=FRAMES_CATEGORY,
            description="One frame with the frames before and after it showing through where they differ, as on a "
            "light table.",
            inputs=[
                io.Image.Input("frames", tooltip="Frames in order."),
                io.Int.Input("frame", default=0, min=0, max=9999, tooltip="Number of the frame; the first is 0."),
                io.Int.Input("before", default=2, min=0, max=16, tooltip="How many frames before it show through."),
                io.Int.Input("after", default=2, min=0, max=16, tooltip="How many frames after it show through."),
                io.String.Input("before_tint", default="#dc2626", tooltip="Colour of the frames before it."),
                io.String.Input("after_tint", default="#16a34a", tooltip="Colour of the frames after it."),
                io.Float.Input(
                    "opacity",
                    default=0.5,
                    min=0.0,
                    max=1.0,
                    step=0.05,
                    tooltip="Of the nearest frames; those farther away are fainter.",
                ),
            ],
            outputs=[io.Image.Output(display_name="picture", tooltip="One picture.")],
        )

    @classmethod
    def execute(cls, frames: Tensor, frame: int, **settings: Any) -> io.NodeOutput:
        checks.widgets(cls, {"frame": frame, **settings})
        pictures = checks.pictures(frames, "frames")
        if frame >= len(pictures):
            raise ValueError(f"frame is {frame}; expected 0 to {len(pictures) - 1} for {len(pictures)} frames")
        tints = [parse_tint(settings[name]) for name in ("before_tint", "after_tint")]
        skin = OnionSkin(settings["before"], settings["after"], *tints, settings["opacity"])
        shown = onion_skin(pictures, frame, skin)
        return io.NodeOutput(shown.movedim(0, -1)[None])
