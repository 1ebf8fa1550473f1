"""Parts of a segment that the decoder works on at once, and norms whose statistics are the whole segment's."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from enum import Enum
from typing import NamedTuple, cast

import torch
from torch import Tensor, nn

from ..layers import LayerWeights


class Chunking(Enum):
    """How much of a segment the decoder holds and works on at once; the result is the same.

    In image layers a frame needs no other frame. In temporal layers a pixel needs no other pixel, but for the
    statistics of norms, which are gathered first.

    Attributes:
        WHOLE: everything at once. The fastest, and what training differentiates.
        FRAMES: image layers frame by frame, temporal layers by strips of rows with as many pixels as one frame.
        OFFLOADED: the same; the video between the layers waits on the CPU.
    """

    WHOLE = "whole"
    FRAMES = "frame by frame"
    OFFLOADED = "frame by frame, with the video on the CPU"


class Part(NamedTuple):
    """Frames `start` to `stop` (not included) of a segment of `frames`."""

    start: int
    stop: int
    frames: int

    @property
    def has_first(self) -> bool:
        return self.start == 0

    @property
    def has_last(self) -> bool:
        return self.stop == self.frames


Report = Callable[[float], None]
"""Told the share of the work on a segment that is done, from 0 to 1, where one frame or all of them are a layer on."""


def silent(share: float) -> None:
    """For those who do not ask."""


def strips(height: int, frames: int) -> list[slice]:
    """Places of strips of rows; one strip of all frames has no more pixels than one frame, if more than one row."""
    rows = max(1, height // frames)
    return [slice(start, start + rows) for start in range(0, height, rows)]


def norm_over(norm: nn.Module, chunks: Iterable[Tensor], weights: LayerWeights) -> Callable[[Tensor], Tensor]:
    """A GroupNorm with the statistics of all chunks together.

    Args:
        norm: an `nn.GroupNorm`.
        chunks: what it would see at once, divided in any way but over batch and channels; each (b, c, ...).
        weights: see `Layers`.

    Returns:
        normalises one chunk
    """
    norm = cast(nn.GroupNorm, norm)
    counts, means, variances = zip(*(_moments(chunk, norm.num_groups) for chunk in chunks), strict=True)
    each = torch.stack(means)
    share = each.new_tensor(counts)[:, None, None] / sum(counts)
    mean = (share * each).sum(0)
    variance = (share * (torch.stack(variances) + (each - mean) ** 2)).sum(0)
    deviation = (variance + norm.eps).sqrt()

    def normalise(chunk: Tensor) -> Tensor:
        weight, bias = weights(norm, chunk)
        scale = weight.to(mean).unflatten(0, (norm.num_groups, -1)) / deviation[..., None]
        shift = bias.to(mean).unflatten(0, (norm.num_groups, -1)) - mean[..., None] * scale
        shape = (*chunk.shape[:2], *[1] * (chunk.ndim - 2))
        return torch.addcmul(shift.reshape(shape), chunk, scale.reshape(shape)).to(chunk.dtype)

    return normalise


def _moments(chunk: Tensor, groups: int) -> tuple[int, Tensor, Tensor]:
    """Values of one group, their mean and variance (b, groups), in float32 at least."""
    values = chunk.unflatten(1, (groups, -1)).flatten(2)
    values = values.to(torch.promote_types(chunk.dtype, torch.float32))
    variance, mean = torch.var_mean(values, dim=2, correction=0)
    return values.shape[2], mean, variance
