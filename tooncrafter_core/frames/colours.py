"""Takes colour drift out of the frames between keyframes.

Pixels that both keyframes of a segment share say what colour they should have in between. How far they are from it
there is the drift: a median over the picture, and where such pixels are near, their own mean. Everything is in CIE Lab,
in which a shift looks the same on light and dark colours.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import kornia
import torch
import torch.nn.functional as F
from torch import Tensor

from ..inputs import shortened
from .spans import Spans


@dataclass(frozen=True)
class DriftSettings:
    """What counts as drift; distances of colours are delta E 1976.

    Attributes:
        still: largest distance of the two keyframes in a pixel that stands still.
        nearest: largest distance of a still pixel's drift from the median; beyond, something moves in front of it.
        least_share: of the picture's pixels that stand still; below, segments' means and deviations are compared.
        reach: deviation of the local mean, as a share of the shorter side.
        ink: lightness by which a thin dark line is darker than what is around it.
    """

    still: float = 4.0
    nearest: float = 6.0
    least_share: float = 0.05
    reach: float = 0.05
    ink: float = 10.0


def match_colours(
    frames: Tensor,
    spans: Spans,
    strength: float = 1.0,
    settings: DriftSettings | None = None,
    before_frame: Callable[[], None] = lambda: None,
) -> Tensor:
    """Correct the frames between keyframes; the keyframes stay as they are.

    Args:
        frames: (n, 3, H, W), RGB in [0, 1].
        spans: where the segments are.
        strength: share of the drift that is taken out, 0 to 1.
        settings: what counts as drift.
        before_frame: called before each frame; a host that can be interrupted raises in it.

    Returns:
        (n, 3, H, W) in [0, 1], float32

    Raises:
        ValueError: strength is no number from 0 to 1.
    """
    if not isinstance(strength, int | float) or not 0 <= strength <= 1:
        raise ValueError(f"strength is {shortened(strength)}; expected 0 to 1")
    settings = settings or DriftSettings()
    corrected = frames.float().clone()
    for start, count in zip(spans.starts, spans.frames, strict=True):
        ends = kornia.color.rgb_to_lab(corrected[[start, (start + count - 1) % spans.total]])
        still = (ends[1] - ends[0]).norm(dim=0, keepdim=True) <= settings.still
        for step in range(1, count - 1):
            before_frame()
            frame = kornia.color.rgb_to_lab(corrected[start + step])
            shift = _drift(frame, ends, still, step / (count - 1), settings)
            matched = frame - strength * shift * (1 - _ink(frame[:1], settings))
            corrected[start + step] = kornia.color.lab_to_rgb(matched)
    return corrected


def _drift(frame: Tensor, ends: Tensor, still: Tensor, moment: float, settings: DriftSettings) -> Tensor:
    """How far a frame's colours are from where they should be: (3, H, W) in Lab.

    Args:
        frame: (3, H, W) in Lab.
        ends: both keyframes (2, 3, H, W) in Lab.
        still: which pixels stand still (1, H, W).
        moment: where between the keyframes, 0 to 1.
        settings: what counts as drift.
    """
    if still.float().mean() < settings.least_share:
        return _difference_in_statistics(frame, ends, moment)
    off = frame - torch.lerp(ends[0], ends[1], moment)
    middle = off[:, still[0]].median(dim=1).values[:, None, None]
    trusted = _inside(still & ((off - middle).norm(dim=0, keepdim=True) <= settings.nearest))
    sigma = settings.reach * min(frame.shape[-2:])
    near = _blur(trusted.float(), sigma)
    local = _blur(off * trusted, sigma) / near.clamp(min=1e-6)
    return torch.lerp(middle, local, (2 * near).clamp(0, 1))


def _difference_in_statistics(frame: Tensor, ends: Tensor, moment: float) -> Tensor:
    """Drift of a picture in which nothing stands still: from the keyframes' means and deviations in Lab, mixed by
    time (Reinhard et al., Color Transfer between Images, 2001)."""
    deviation, mean = torch.std_mean(frame, dim=(1, 2), keepdim=True)
    deviations, means = torch.std_mean(ends, dim=(2, 3), keepdim=True)
    gain = torch.lerp(deviations[0], deviations[1], moment) / deviation.clamp(min=1e-3)
    return frame - ((frame - mean) * gain + torch.lerp(means[0], means[1], moment))


def _ink(lightness: Tensor, settings: DriftSettings) -> Tensor:
    """Thin dark lines (1, H, W), 0 to 1: what a morphological closing of the lightness fills."""
    radius = 1 + min(lightness.shape[-2:]) // 128
    closed = -F.max_pool2d(-_grown(lightness, radius), 2 * radius + 1, stride=1)
    return ((closed - lightness) / settings.ink - 1).clamp(0, 1)


def _inside(mask: Tensor) -> Tensor:
    """A mask (1, H, W) without its outermost pixels, in which edges of moving things are blended."""
    return F.max_pool2d((~mask).float(), 3, stride=1, padding=1) == 0


def _grown(lightness: Tensor, radius: int) -> Tensor:
    padded = F.pad(lightness[None], [2 * radius] * 4, mode="replicate")[0]
    return F.max_pool2d(padded, 2 * radius + 1, stride=1)


def _blur(values: Tensor, sigma: float) -> Tensor:
    size = 2 * max(1, round(2 * sigma)) + 1
    blurred: Tensor = kornia.filters.gaussian_blur2d(
        values[None], (size, size), (sigma, sigma), border_type="replicate"
    )
    return blurred[0]
