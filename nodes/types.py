"""The one wire type that is ours."""

from __future__ import annotations

from dataclasses import dataclass

from comfy_api.latest import io
from torch import Tensor


@dataclass(frozen=True)
class References:
    """Feature maps of the keyframes, for the decoder.

    Attributes:
        features: five maps (n, ...), see `tooncrafter_core.autoencoder.Encoded`.
        frames: frames of each segment.
    """

    features: list[Tensor]
    frames: int

    @property
    def segments(self) -> int:
        return len(self.features[0]) - 1

    def of_segment(self, index: int) -> list[Tensor]:
        """The maps of one segment's two keyframes, each (1, 2, ...)."""
        return [maps[None, index : index + 2] for maps in self.features]

    @property
    def size(self) -> tuple[int, int]:
        """Height and width of the keyframes, pixels."""
        height, width = self.features[0].shape[-2:]
        return height, width


ReferencesWire = io.Custom("TOONCRAFTER_REFERENCES")
CATEGORY = "ToonCrafter"
