"""What Encode Keyframes puts into CONDITIONING, and how it reaches the model."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from comfy.conds import CONDRegular
from einops import rearrange
from torch import Tensor

from ...tooncrafter_core.files.images import Fit
from ...tooncrafter_core.limits import Job
from ...tooncrafter_core.models.unet.context import CrossContext
from ...tooncrafter_core.timeline import keyframe_condition, total_frames, written

KEY = "tooncrafter_keyframes"
"""The entry of a CONDITIONING item that holds a `Keyframes`."""

LAYOUT_KEY = "tooncrafter_layout"
"""The entry of a LATENT that holds its `Layout`; stock nodes that change latents keep it, those that make new ones do
not."""


class Layout(NamedTuple):
    """How the frames of a batch are divided: 16 latents may be 1 segment of 16 frames or 2 of 8."""

    frames: tuple[int, ...]
    loop: bool

    def __str__(self) -> str:
        return f"{len(self.frames)} segment(s) of {written(self.frames)} frames{' in a loop' if self.loop else ''}"


@dataclass(frozen=True)
class Keyframes:
    """What the denoiser needs to know of the keyframes.

    Attributes:
        latents: of the segments' ends (S + 1, c, h, w), not scaled; see `timeline.segment_ends`.
        vision: vision tokens of each segment's first keyframe (S, k, d), or of a grey image (1, k, d).
        frames: of each segment.
        frame_rate: frames per second the model is told.
        loop: the last segment ends at the first keyframe.
        width: pixels of the result; the latents' size is the next multiple of 8.
        height: likewise.
        fit: how pictures were brought to that size; sketches follow it.
    """

    latents: Tensor
    vision: Tensor
    frames: tuple[int, ...]
    frame_rate: int
    loop: bool
    width: int
    height: int
    fit: Fit

    @property
    def segments(self) -> int:
        return len(self.frames)

    @property
    def layout(self) -> Layout:
        return Layout(self.frames, self.loop)

    @property
    def job(self) -> Job:
        keyframes = self.segments if self.loop else self.segments + 1
        return Job(keyframes, self.frames, self.width, self.height)

    @property
    def total_frames(self) -> int:
        return total_frames(self.frames, self.loop)

    @property
    def latent_shape(self) -> tuple[int, ...]:
        """Shape of the LATENT batch that goes with these keyframes."""
        return sum(self.frames), *self.latents.shape[1:]

    def __str__(self) -> str:
        return f"{self.layout}, {self.width} x {self.height} pixels"

    def condition(self) -> Tensor:
        """Condition channels with the frames as the batch, not scaled."""
        conditions = [
            keyframe_condition(self.latents[segment : segment + 2], frames)
            for segment, frames in enumerate(self.frames)
        ]
        return torch.cat([rearrange(condition, "1 c t h w -> t c h w") for condition in conditions])


def keyframes_of(conditioning: list[list[Any]], name: str) -> list[Keyframes]:
    """The keyframes of each prompt; ValueError where Encode Keyframes has not been there."""
    found = [values.get(KEY) for _, values in conditioning]
    if None in found:
        which = (
            "holds no keyframes" if len(found) == 1 else f"has {len(found)} prompts, of which one holds no keyframes"
        )
        raise ValueError(f"{name} {which}. Connect it to {name} of ToonCrafter Encode Keyframes.")
    return found


class CONDSegments(CONDRegular):
    """One `CrossContext` for each segment, kept as it is over the steps so that its keys and values are made once."""

    def __init__(self, cond: tuple[CrossContext, ...], frames: tuple[int, ...]) -> None:
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
        """Frames of each segment, for `ToonCrafterModel.memory_required`."""
        return list(self.frames)

    def _shapes(self) -> list[tuple[torch.Size, torch.Size | None, torch.device]]:
        return [(c.text.shape, None if c.image is None else c.image.shape, c.text.device) for c in self.cond]
