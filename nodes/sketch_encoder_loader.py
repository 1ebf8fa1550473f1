"""ToonCrafter Sketch Encoder Loader: a sketch encoder checkpoint to CONTROL_NET."""

from __future__ import annotations

from comfy_api.latest import io

from ..tooncrafter_core.files.checkpoint import CheckpointError, read_checkpoint
from ..tooncrafter_core.memory import naming_lack
from . import checks
from .files import check_there, offered, path_of
from .host.control import load_control_net
from .types import CATEGORY


class ToonCrafterSketchEncoderLoader(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="ToonCrafterSketchEncoderLoader",
            display_name="ToonCrafter Sketch Encoder Loader",
            category=CATEGORY,
            description="Loads a ToonCrafter sketch encoder.",
            inputs=[
                io.Combo.Input(
                    "sketch_encoder",
                    options=offered("controlnet"),
                    tooltip="The one for the small model that comes with these nodes, or a file in ComfyUI's "
                    "models/controlnet folder, such as ToonCrafter's sketch_encoder.ckpt.",
                )
            ],
            outputs=[
                io.ControlNet.Output(
                    display_name="control_net", tooltip="The sketch encoder. For Sketch Guide, or for Apply ControlNet."
                )
            ],
        )

    @classmethod
    def validate_inputs(cls, sketch_encoder: str | None = None) -> bool | str:
        return check_there("controlnet", sketch_encoder)

    @classmethod
    @naming_lack("Loading the sketch encoder")
    def execute(cls, sketch_encoder: str) -> io.NodeOutput:
        checks.widgets(cls, {"sketch_encoder": sketch_encoder})
        opened = read_checkpoint(path_of("controlnet", sketch_encoder))
        if opened.config.sketch is None:
            raise CheckpointError(
                f"{sketch_encoder} has {', '.join(opened.parts)} but no sketch encoder. A ToonCrafter checkpoint "
                "belongs into the models/checkpoints folder and is loaded with ToonCrafter Loader."
            )
        return io.NodeOutput(load_control_net(opened))
