"""The wire types that are ours."""

from __future__ import annotations

from dataclasses import dataclass

from comfy_api.latest import io
from torch import Tensor

from ..tooncrafter_core.models.config import PIXELS_PER_LATENT
from .host.conditioning import Layout


@dataclass(frozen=True)
class References:
    """The keyframes and their feature maps, for the decoder.

    Attributes:
        keyframes: as they were fitted, (n, 3, H, W) in [0, 1].
        features: five maps (n, ...), see `tooncrafter_core.models.vae.autoencoder.Encoded`.
        frames: of each segment.
        loop: the last segment ends at the first keyframe.
        width: pixels of the result, to which decoded frames are cropped.
        height: likewise.
    """

    keyframes: Tensor
    features: list[Tensor]
    frames: tuple[int, ...]
    loop: bool
    width: int
    height: int

    @property
    def layout(self) -> Layout:
        return Layout(self.frames, self.loop)

    def of_segment(self, index: int) -> list[Tensor]:
        """The maps of one segment's two keyframes, each (1, 2, ...)."""
        return [maps[None, [index, (index + 1) % len(maps)]] for maps in self.features]

    @property
    def latent_size(self) -> tuple[int, int]:
        """Height and width of the latents that go with these."""
        height, width = self.features[0].shape[-2:]
        return height // PIXELS_PER_LATENT, width // PIXELS_PER_LATENT


ReferencesWire = io.Custom("TOONCRAFTER_REFERENCES")
ShotsWire = io.Custom("TOONCRAFTER_SHOTS")
"""A list of `tooncrafter_core.batch.shots.shot.Shot`."""
CATEGORY = "ToonCrafter"
