"""ToonCrafter Sketch Guide: line drawings at chosen frames."""

from __future__ import annotations

from typing import Any

from comfy.controlnet import ControlNet
from comfy_api.latest import io
from torch import Tensor

from ..tooncrafter_core.files.images import fit_images, pad_to_latents, sketch_hints
from ..tooncrafter_core.timeline import parse_frame_indices, place_sketches
from . import checks
from .types import CATEGORY


class ToonCrafterSketchGuide(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="ToonCrafterSketchGuide",
            display_name="ToonCrafter Sketch Guide",
            category=CATEGORY,
            description="Lets line drawings guide chosen frames. Frames without a drawing stay free.",
            inputs=[
                io.Conditioning.Input("positive", tooltip="Positive conditioning of Encode Keyframes."),
                io.Conditioning.Input("negative", tooltip="Negative conditioning of Encode Keyframes."),
                io.ControlNet.Input("control_net", tooltip="From ToonCrafter Sketch Encoder Loader."),
                io.Image.Input(
                    "sketches",
                    tooltip="One drawing for each frame index, as one batch. Dark lines on light paper or light lines "
                    "on black, told apart by what most of the picture is; a blank page is no sketch. Drawings are "
                    "fitted to the frame as the keyframes were.",
                ),
                io.String.Input(
                    "frame_indices",
                    default="7",
                    tooltip="Frames the drawings are for, such as 5, 9-11. The first frame is 0 and -1 is the last; "
                    "with more than two keyframes the count goes on over the segments.",
                ),
                io.Float.Input(
                    "strength",
                    default=0.6,
                    min=0.0,
                    max=2.0,
                    step=0.01,
                    tooltip="How strongly the drawings guide; 0.6 is the usual value, 0 is not at all.",
                ),
            ],
            outputs=[
                io.Conditioning.Output(display_name="positive", tooltip="Conditioning with the drawings."),
                io.Conditioning.Output(display_name="negative", tooltip="Conditioning with the drawings."),
            ],
        )

    @classmethod
    def execute(
        cls,
        positive: list[list[Any]],
        negative: list[list[Any]],
        control_net: ControlNet,
        sketches: Tensor,
        frame_indices: str,
        strength: float,
    ) -> io.NodeOutput:
        checks.widgets(cls, {"frame_indices": frame_indices, "strength": strength})
        positive, negative = checks.conditioning(positive, "positive"), checks.conditioning(negative, "negative")
        keyframes = checks.keyframes(positive, negative)
        control_net = checks.sketch_encoder(control_net)
        drawings = checks.pictures(sketches, "sketches")
        indices = parse_frame_indices(frame_indices, len(drawings), keyframes.total_frames)
        if strength == 0:
            return io.NodeOutput(positive, negative)
        hints = fit_images(sketch_hints(drawings), keyframes.width, keyframes.height, keyframes.fit)
        by_frame = dict(zip(indices, pad_to_latents(hints), strict=True))
        placed = place_sketches(by_frame, keyframes.segments, keyframes.frames, keyframes.loop)
        batch = placed.transpose(1, 2).flatten(0, 1)
        guides: dict[ControlNet | None, ControlNet] = {}
        return io.NodeOutput(
            _guide(positive, control_net, batch, strength, guides),
            _guide(negative, control_net, batch, strength, guides),
        )


def _guide(
    conditioning: list[list[Any]],
    control_net: ControlNet,
    hints: Tensor,
    strength: float,
    guides: dict[ControlNet | None, ControlNet],
) -> list[list[Any]]:
    """Chain the sketch encoder after whatever ControlNet an item has; `guides` keeps one for each of those, so that
    positive and negative share it and ComfyUI can run them in one batch."""
    guided = []
    for text, values in conditioning:
        previous = values.get("control")
        if previous not in guides:
            guide = control_net.copy().set_cond_hint(hints, strength)
            guides[previous] = guide.set_previous_controlnet(previous)
        guided.append([text, {**values, "control": guides[previous], "control_apply_to_uncond": False}])
    return guided
