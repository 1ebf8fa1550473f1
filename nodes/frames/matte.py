"""ToonCrafter Matte: transparent frames of a figure on a plain background."""

from __future__ import annotations

from comfy_api.latest import io
from torch import Tensor

from ...tooncrafter_core.frames.matte import cut_out, key
from .. import checks
from ..host.interruption import stop_if_interrupted
from .inputs import FRAMES_CATEGORY


class ToonCrafterMatte(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="ToonCrafterMatte",
            display_name="ToonCrafter Matte",
            category=FRAMES_CATEGORY,
            description="Makes a plain background transparent: what has the colour of the frame's border and is "
            "connected to it. Keyframes with transparency come on white, which this takes away again. Save Image and "
            "Save Animated WEBP keep the transparency.",
            inputs=[
                io.Image.Input("frames", tooltip="Frames of a figure on a background of one colour."),
                io.Float.Input(
                    "transparent",
                    default=6.0,
                    min=0.0,
                    max=100.0,
                    step=0.5,
                    tooltip="Distance from the background's colour (delta E) up to which a pixel is transparent. Raise "
                    "it where a haze of the background is left.",
                ),
                io.Float.Input(
                    "opaque",
                    default=24.0,
                    min=0.5,
                    max=150.0,
                    step=0.5,
                    tooltip="Distance from which a pixel is opaque. Lower it where pale parts of the figure are eaten.",
                ),
            ],
            outputs=[
                io.Image.Output(display_name="frames", tooltip="Frames with an alpha channel."),
                io.Mask.Output(display_name="mask", tooltip="1 where the background was, as Load Image gives it."),
            ],
        )

    @classmethod
    def execute(cls, frames: Tensor, transparent: float, opaque: float) -> io.NodeOutput:
        checks.widgets(cls, {"transparent": transparent, "opaque": opaque})
        pictures = checks.pictures(frames, "frames")
        alpha = key(pictures, transparent, opaque, stop_if_interrupted)
        return io.NodeOutput(cut_out(pictures, alpha).movedim(1, -1), 1 - alpha[:, 0])
