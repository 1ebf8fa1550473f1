"""ToonCrafter Dual-Ref Decode: latents and the keyframes' references to frames."""

from __future__ import annotations

from typing import Any

import comfy.utils
import torch
from comfy_api.latest import io
from einops import rearrange

from ..tooncrafter_core.models.config import PIXELS_PER_LATENT
from ..tooncrafter_core.timeline import join_segments
from .host.vae import ToonCrafterVAE
from .types import CATEGORY, References, ReferencesWire


class ToonCrafterDualRefDecode(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="ToonCrafterDualRefDecode",
            display_name="ToonCrafter Dual-Ref Decode",
            category=CATEGORY,
            description="Decodes the frames of each segment together, with the detail of its two keyframes. A keyframe "
            "between two segments comes out once, and the frames have the size asked for in Encode Keyframes.",
            inputs=[
                io.Vae.Input("vae", tooltip="The VAE of ToonCrafter Loader."),
                io.Latent.Input("latent", tooltip="Latents of all frames, from the Sampler."),
                ReferencesWire.Input("references", tooltip="From Encode Keyframes."),
                io.Boolean.Input(
                    "two_pass",
                    default=True,
                    tooltip="Decode the two centre frames of each segment a second time from fewer neighbours, which "
                    "hides a seam in the middle, as published. Takes twice the time.",
                ),
            ],
            outputs=[io.Image.Output(display_name="frames", tooltip="All frames in order, keyframes included.")],
        )

    @classmethod
    def execute(
        cls, vae: ToonCrafterVAE | None, latent: dict[str, Any], references: References, two_pass: bool
    ) -> io.NodeOutput:
        samples = latent["samples"]
        _check(vae, samples, references)
        segments = rearrange(samples, "(s t) c h w -> s c t h w", s=references.segments)
        progress = comfy.utils.ProgressBar(references.segments)
        decoded = []
        for index in range(references.segments):
            maps = references.of_segment(index)
            decoded.append(vae.decode_segment(segments[index : index + 1], maps, two_pass))
            progress.update(1)
        frames = join_segments(torch.cat(decoded), references.loop)[..., : references.height, : references.width]
        return io.NodeOutput(frames.movedim(1, -1))


def _check(vae: object, samples: torch.Tensor, references: References) -> None:
    if not isinstance(vae, ToonCrafterVAE):
        raise ValueError(
            f"vae is {'None' if vae is None else 'of another model'}; Dual-Ref Decode needs the VAE of ToonCrafter "
            "Loader. Use VAE Decode for other VAEs."
        )
    channels = vae.first_stage_model.config.latent_channels
    if samples.ndim != 4 or samples.shape[1] != channels:
        raise ValueError(
            f"latent has shape {tuple(samples.shape)}; expected (frames, {channels}, height, width). Connect the "
            "latent of a sampler that ran ToonCrafter's model."
        )
    size = tuple(side * PIXELS_PER_LATENT for side in samples.shape[-2:])
    count = references.segments * references.frames
    expected = references.encoded_size
    if size != expected or len(samples) != count:
        raise ValueError(
            f"{len(samples)} latents of {size[1]} x {size[0]} pixels do not go with these references; expected {count} "
            f"of {expected[1]} x {expected[0]} pixels. Connect references and latent of the same Encode "
            "Keyframes."
        )
