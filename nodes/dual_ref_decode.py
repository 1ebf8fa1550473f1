"""ToonCrafter Dual-Ref Decode: latents and the keyframes' references to frames."""

from __future__ import annotations

from typing import Any

from comfy_api.latest import io
from einops import rearrange

from ..tooncrafter_core.frames.keyframes import keep_keyframes as with_keyframes
from ..tooncrafter_core.memory import naming_lack
from ..tooncrafter_core.timeline import join_segments, segment_ends
from . import checks
from .host.progress import FrameProgress
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
                io.Boolean.Input(
                    "keep_keyframes",
                    default=False,
                    optional=True,
                    tooltip="Show the keyframes as they were drawn instead of decoded. What decoding loses of them is "
                    "also given back to the frames beside them, less and less, so that nothing jumps.",
                ),
            ],
            outputs=[io.Image.Output(display_name="frames", tooltip="All frames in order, keyframes included.")],
        )

    @classmethod
    @naming_lack("Decoding")
    def execute(
        cls,
        vae: ToonCrafterVAE,
        latent: dict[str, Any],
        references: References,
        two_pass: bool,
        keep_keyframes: bool = False,
    ) -> io.NodeOutput:
        checks.widgets(cls, {"two_pass": two_pass, "keep_keyframes": keep_keyframes})
        vae = checks.vae(vae)
        references = checks.references(references, vae)
        samples = checks.latent(latent, "latent", vae.first_stage_model.config.latent_channels)
        shape = sum(references.frames), samples.shape[1], *references.latent_size
        checks.goes_with(latent, "references", shape, references.layout)
        progress, frames = FrameProgress(sum(references.frames)), []
        for index, rows in enumerate(samples.split(references.frames)):
            segment = rearrange(rows, "t c h w -> 1 c t h w")
            maps, report = references.of_segment(index), progress.of_next(len(rows))
            frames.extend(vae.decode_segment(segment, maps, two_pass, report))
        if keep_keyframes:
            ends = segment_ends(references.keyframes, references.loop)
            frames = [with_keyframes(segment, ends[index : index + 2]) for index, segment in enumerate(frames)]
        joined = join_segments(frames, references.loop)[..., : references.height, : references.width]
        return io.NodeOutput(joined.movedim(1, -1))
