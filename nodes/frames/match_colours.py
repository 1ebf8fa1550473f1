"""ToonCrafter Match Colours: no drift between keyframes."""

from __future__ import annotations

import torch
from comfy_api.latest import io
from torch import Tensor

from ...tooncrafter_core.files.images import to_rgb
from ...tooncrafter_core.frames.colours import match_colours
from ...tooncrafter_core.frames.spans import spans_of_frames
from .. import checks
from ..frame_counts import read_counts
from ..host.interruption import stop_if_interrupted
from .inputs import FRAMES_CATEGORY, segment_input


class ToonCrafterMatchColours(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="ToonCrafterMatchColours",
            display_name="ToonCrafter Match Colours",
            category=FRAMES_CATEGORY,
            description="Takes out what the frames between two keyframes have drifted in colour. What stands still in "
            "both keyframes says how far that is; lines and keyframes stay as they are.",
            inputs=[
                io.Image.Input(
                    "frames", tooltip="All frames in order, from Dual-Ref Decode, before they are retimed or trimmed."
                ),
                segment_input(),
                io.Float.Input(
                    "strength",
                    default=1.0,
                    min=0.0,
                    max=1.0,
                    step=0.05,
                    tooltip="Share of the drift that is taken out.",
                ),
            ],
            outputs=[io.Image.Output(display_name="frames", tooltip="The frames in the keyframes' colours.")],
        )

    @classmethod
    def execute(cls, frames: Tensor, frames_per_segment: int | str, strength: float) -> io.NodeOutput:
        checks.widgets(cls, {"frames_per_segment": frames_per_segment, "strength": strength})
        checks.pictures(frames, "frames")
        spans = spans_of_frames(len(frames), read_counts(frames_per_segment))
        colours, alpha = to_rgb(frames[..., :3].movedim(-1, 1)), frames[..., 3:]
        matched = match_colours(colours, spans, strength, before_frame=stop_if_interrupted)
        return io.NodeOutput(torch.cat([matched.movedim(1, -1), alpha], dim=-1))
