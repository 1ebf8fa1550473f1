"""How close generated frames come to true ones, and what simple baselines reach.

Frames are (n, 3, H, W) in [0, 1]; line drawings are (n, 1, H, W), white lines on black, in [0, 1].
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

Distance = Callable[[Tensor, Tensor], Tensor]
"""A perceptual distance: two batches (n, 3, H, W) in [-1, 1] -> (n,), 0 where they are the same."""

LINE_THRESHOLD = 0.5
"""A pixel of a line drawing at least this bright is part of a line."""

LINE_RADIUS = 1
"""px by which a frame's line may be off and still match."""

PSNR_CEILING = 100.0
"""dB that stand for frames without any error, so that means stay finite."""


class EdgeMatch(NamedTuple):
    """How well the lines of one drawing lie on those of another, each 0 to 1.

    Attributes:
        precision: share of the found line pixels near a wanted one.
        recall: share of the wanted line pixels near a found one.
        f1: harmonic mean of both.
    """

    precision: float
    recall: float
    f1: float


def cross_dissolve(first: Tensor, last: Tensor, frames: int) -> Tensor:
    """Blend two keyframes (3, H, W) linearly by time, in pixel space: frame i is ((t - 1 - i) a + i b) / (t - 1).

    Raises:
        ValueError: fewer than 2 frames.
    """
    _check_frames(frames)
    weights = torch.linspace(0, 1, frames, dtype=first.dtype, device=first.device)[:, None, None, None]
    return torch.lerp(first[None], last[None], weights)


def nearest_keyframe(first: Tensor, last: Tensor, frames: int) -> Tensor:
    """Repeat the keyframe (3, H, W) that is nearer in time; the middle frame of an odd number takes the first.

    Raises:
        ValueError: fewer than 2 frames.
    """
    _check_frames(frames)
    copies = (frames + 1) // 2
    return torch.stack([first] * copies + [last] * (frames - copies))


def psnr(frames: Tensor, truth: Tensor) -> float:
    """Peak signal-to-noise ratio in dB over all frames together: -10 log10 of the mean squared error (peak 1).

    At most `PSNR_CEILING`, which is what equal frames get.

    Raises:
        ValueError: shapes differ, or values are not floats in [0, 1].
    """
    _check_pair(frames, truth)
    error = (frames.double() - truth.double()).square().mean()
    return min(PSNR_CEILING, float(-10 * torch.log10(error.clamp(min=1e-30))))


def perceptual_distances(distance: Distance, frames: Tensor, truth: Tensor, batch: int = 32) -> Tensor:
    """Distance of each frame to its true one, `batch` frames at a time.

    Returns:
        (n,) float32

    Raises:
        ValueError: shapes differ, or values are not floats in [0, 1].
    """
    _check_pair(frames, truth)
    pairs = zip((frames * 2 - 1).split(batch), (truth * 2 - 1).split(batch), strict=True)
    with torch.inference_mode():
        return torch.cat([distance(a, b).float().reshape(-1) for a, b in pairs])


def line_mask(drawing: Tensor, threshold: float = LINE_THRESHOLD) -> Tensor:
    """Which pixels of a drawing are lines: bool, of the same shape."""
    return drawing >= threshold


def dilate(mask: Tensor, radius: int) -> Tensor:
    """Grow a mask (n, 1, H, W) by a disc: true within `radius` px (Euclidean, pixel centres) of a true pixel."""
    steps = torch.arange(-radius, radius + 1, device=mask.device)
    disc = (steps[:, None].square() + steps[None].square() <= radius**2).float()
    return F.conv2d(mask.float(), disc[None, None], padding=radius) > 0.5


def edge_match(found: Tensor, wanted: Tensor, radius: int = 2) -> EdgeMatch:
    """Compare the lines of two drawings, given as masks (1, 1, H, W), with a tolerance of `radius` px.

    As in boundary benchmarks, but by dilation in place of an assignment: a pixel matches if the other mask has one
    within the disc. Two empty masks match (1); an empty and a filled one do not (0).

    Raises:
        ValueError: not two bool masks of one shape.
    """
    if found.dtype != torch.bool or wanted.dtype != torch.bool or found.shape != wanted.shape or found.ndim != 4:
        raise ValueError(
            f"got {found.dtype} {tuple(found.shape)} and {wanted.dtype} {tuple(wanted.shape)}; expected two bool masks "
            "(1, 1, H, W) of one shape, see `line_mask`"
        )
    if not found.any() and not wanted.any():
        return EdgeMatch(1.0, 1.0, 1.0)
    precision = _share(found, dilate(wanted, radius))
    recall = _share(wanted, dilate(found, radius))
    total = precision + recall
    return EdgeMatch(precision, recall, 2 * precision * recall / total if total else 0.0)


def line_f1(found: Tensor, wanted: Tensor) -> list[float]:
    """F1 of each frame's lines, from masks (t, 1, H, W), with a tolerance of `LINE_RADIUS`."""
    pairs = zip(found.split(1), wanted.split(1), strict=True)
    return [edge_match(drawn, true, LINE_RADIUS).f1 for drawn, true in pairs]


def _share(mask: Tensor, near: Tensor) -> float:
    """Share of the mask's pixels that are in `near`; 0 for an empty mask."""
    count = int(mask.sum())
    return int((mask & near).sum()) / count if count else 0.0


def _check_frames(frames: int) -> None:
    if frames < 2:
        raise ValueError(f"frames is {frames}; expected 2 or more, both keyframes included")


def _check_pair(frames: Tensor, truth: Tensor) -> None:
    if frames.shape != truth.shape or frames.ndim != 4:
        raise ValueError(f"frames {tuple(frames.shape)}, truth {tuple(truth.shape)}; expected one shape (n, 3, H, W)")
    for name, values in (("frames", frames), ("truth", truth)):
        if not values.is_floating_point() or values.min() < 0 or values.max() > 1:
            raise ValueError(
                f"{name} are {values.dtype}, {values.min():g} to {values.max():g}; expected floats, 0 to 1"
            )
