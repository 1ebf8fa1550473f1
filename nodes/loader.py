"""ToonCrafter Loader: one checkpoint to MODEL, CLIP, CLIP_VISION and VAE."""

from __future__ import annotations

import logging

import torch
from comfy_api.latest import io

from ..tooncrafter_core.files.checkpoint import CheckpointError, read_checkpoint
from ..tooncrafter_core.memory import naming_lack
from . import checks
from .files import check_there, offered, path_of
from .host.model import load_model
from .host.towers import load_clip, load_clip_vision
from .host.vae import ToonCrafterVAE
from .types import CATEGORY

log = logging.getLogger(__name__)

WEIGHT_DTYPES = {
    "default": None,
    "fp16": torch.float16,
    "bf16": torch.bfloat16,
    "fp8_e4m3fn": torch.float8_e4m3fn,
}
"""What the denoiser's weights can be kept in; None is ComfyUI's choice."""


class ToonCrafterLoader(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="ToonCrafterLoader",
            display_name="ToonCrafter Loader",
            category=CATEGORY,
            description="Loads a ToonCrafter checkpoint (or a DynamiCrafter interpolation checkpoint) and hands out "
            "its parts. A part that the file lacks comes out as None: pruned files have no CLIP and no CLIP_VISION, "
            "use Load CLIP and Load CLIP Vision with OpenCLIP ViT-H files then.",
            inputs=[
                io.Combo.Input(
                    "checkpoint",
                    options=offered("checkpoints"),
                    tooltip="The small model that comes with these nodes (for 128 x 64 pixels), or a file in ComfyUI's "
                    "models/checkpoints folder, such as ToonCrafter's model.ckpt.",
                ),
                io.Combo.Input(
                    "weight_dtype",
                    options=list(WEIGHT_DTYPES),
                    tooltip="What the denoiser's weights are kept in. default: what ComfyUI finds best on this device. "
                    "fp8_e4m3fn takes half of fp16's memory and computes in ComfyUI's choice; it costs some accuracy.",
                ),
            ],
            outputs=[
                io.Model.Output(
                    display_name="model", tooltip="The denoiser (U-Net and image-context projector). For the Sampler."
                ),
                io.Clip.Output(display_name="clip", tooltip="The text tower. For CLIP Text Encode."),
                io.ClipVision.Output(display_name="clip_vision", tooltip="The vision tower. For Encode Keyframes."),
                io.Vae.Output(
                    display_name="vae",
                    tooltip="The autoencoder. For Encode Keyframes and Dual-Ref Decode; stock VAE nodes work too, "
                    "without the keyframes' detail.",
                ),
            ],
        )

    @classmethod
    def validate_inputs(cls, checkpoint: str | None = None) -> bool | str:
        return check_there("checkpoints", checkpoint)

    @classmethod
    @naming_lack("Loading the models")
    def execute(cls, checkpoint: str, weight_dtype: str) -> io.NodeOutput:
        checks.widgets(cls, {"checkpoint": checkpoint, "weight_dtype": weight_dtype})
        opened = read_checkpoint(path_of("checkpoints", checkpoint))
        if opened.config.unet is None or opened.config.projector is None:
            raise CheckpointError(
                f"{checkpoint} has {', '.join(opened.parts)} but no denoiser. A sketch encoder belongs into the "
                "models/controlnet folder and is loaded with ToonCrafter Sketch Encoder Loader."
            )
        log.info(opened.report())
        return io.NodeOutput(
            load_model(opened, WEIGHT_DTYPES[weight_dtype]),
            load_clip(opened) if opened.config.text else None,
            load_clip_vision(opened) if opened.config.vision else None,
            ToonCrafterVAE(opened) if opened.config.autoencoder else None,
        )
