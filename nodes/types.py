"""The one wire type that is ours."""

from __future__ import annotations

from dataclasses import dataclass

from comfy_api.latest import io
from torch import Tensor

from ..tooncrafter_core.timeline import segment_count


@dataclass(frozen=True)
class References:
    """Feature maps of the keyframes, for the decoder.

    Attributes:
        features: five maps (n, ...), see `tooncrafter_core.models.vae.autoencoder.Encoded`.
        frames: frames of each segment.
        loop: the last segment ends at the first keyframe.
        width: pixels of the result, to which decoded frames are cropped.
        height: likewise.
    """

    features: list[Tensor]
    frames: int
    loop: bool
    width: int
    height: int

    @property
    def segments(self) -> int:
        return segment_count(len(self.features[0]), self.loop)

    def of_segment(self, index: int) -> list[Tensor]:
        """The maps of one segment's two keyframes, each (1, 2, ...)."""
        return [maps[None, [index, (index + 1) % len(maps)]] for maps in self.features]

    @property
    def encoded_size(self) -> tuple[int, int]:
        """Height and width the models work at, pixels."""
        height, width = self.features[0].shape[-2:]
        return height, width


ReferencesWire = io.Custom("TOONCRAFTER_REFERENCES")
CATEGORY = "ToonCrafter"
