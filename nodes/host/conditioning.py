"""What Encode Keyframes puts into CONDITIONING, and how it reaches the model."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from comfy.conds import CONDRegular
from einops import rearrange
from torch import Tensor

from ...tooncrafter_core.files.images import Fit
from ...tooncrafter_core.models.unet.context import CrossContext
from ...tooncrafter_core.timeline import keyframe_condition, total_frames

KEY = "tooncrafter_keyframes"
"""The entry of a CONDITIONING item that holds a `Keyframes`."""


@dataclass(frozen=True)
class Keyframes:
    """What the denoiser needs to know of the keyframes.

    Attributes:
        latents: of the segments' ends (S + 1, c, h, w), not scaled; see `timeline.segment_ends`.
        vision: vision tokens of each segment's first keyframe (S, k, d), or of a grey image (1, k, d).
        frames: frames of each segment.
        frame_rate: frames per second the model is told.
        loop: the last segment ends at the first keyframe.
        width: pixels of the result; the latents' size is the next multiple of 8.
        height: likewise.
        fit: how pictures were brought to that size; sketches follow it.
    """

    latents: Tensor
    vision: Tensor
    frames: int
    frame_rate: int
    loop: bool
    width: int
    height: int
    fit: Fit

    @property
    def segments(self) -> int:
        return len(self.latents) - 1

    @property
    def total_frames(self) -> int:
        return total_frames(self.segments, self.frames, self.loop)

    @property
    def latent_shape(self) -> tuple[int, ...]:
        """Shape of the LATENT batch that goes with these keyframes."""
        return self.segments * self.frames, *self.latents.shape[1:]

    def condition(self) -> Tensor:
        """Condition channels with the frames as the batch, not scaled."""
        return rearrange(keyframe_condition(self.latents, self.frames), "s c t h w -> (s t) c h w")


def keyframes_of(conditioning: list[list[Any]], name: str) -> Keyframes:
    """The keyframes in a CONDITIONING; ValueError when Encode Keyframes has not been there."""
    for _, values in conditioning:
        if KEY in values:
            found: Keyframes = values[KEY]
            return found
    raise ValueError(
        f"The {name} conditioning holds no keyframes. Connect it to the {name} output of ToonCrafter Encode Keyframes."
    )


class CONDSegments(CONDRegular):
    """One `CrossContext` for each segment, kept as it is over the steps so that its keys and values are made once."""

    def __init__(self, cond: tuple[CrossContext, ...], frames: int) -> None:
        super().__init__(cond)
        self.frames = frames
        self._joined: dict[tuple[int, ...], tuple[CrossContext, ...]] = {}

    def process_cond(self, batch_size: int, **kwargs: Any) -> CONDSegments:
        return self

    def can_concat(self, other: CONDSegments) -> bool:
        return len(self.cond) == len(other.cond) and self._shapes() == other._shapes()

    def concat(self, others: list[CONDSegments]) -> tuple[CrossContext, ...]:
        if not others:
            return self.cond
        key = tuple(id(other) for other in others)
        if key not in self._joined:
            rows = zip(self.cond, *(other.cond for other in others), strict=True)
            self._joined[key] = tuple(CrossContext.join(row) for row in rows)
        return self._joined[key]

    def size(self) -> list[int]:
        """Segments and frames of each, for `ToonCrafterModel.memory_required`."""
        return [len(self.cond), self.frames]

    def _shapes(self) -> list[tuple[torch.Size, torch.Size | None, torch.device]]:
        return [(c.text.shape, None if c.image is None else c.image.shape, c.text.device) for c in self.cond]
