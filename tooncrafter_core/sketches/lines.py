"""Line drawings of frames, which the sketch encoder's training takes as hints: white lines on black.

The built-in extractor needs no weights. It looks for two things in a frame smoothed at one small scale:

- drawn lines: dark ridges of lightness, where the larger eigenvalue of the Hessian is high (Steger 1998) and the slope
  is low, which tells a line from the dark side of an edge;
- colour edges: crests of the colour gradient in CIE Lab (Di Zenzo 1986), thinned along the gradient and linked by
  hysteresis (Canny 1986), so that flat regions of the same lightness part too. Crests beside a drawn line are dropped:
  the line stands for them.

`anime2sketch.py` has the extractor that ToonCrafter was trained with, for those who have its weights.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import kornia
import torch
import torch.nn.functional as F
from torch import Tensor

from .anime2sketch import Anime2SketchLines, load_anime2sketch

__all__ = ["Anime2SketchLines", "LineExtractor", "LineSettings", "extract_lines", "load_line_extractor"]

LineExtractor = Callable[[Tensor], Tensor]
"""Frames (n, 3, H, W) in [0, 1] to line drawings (n, 1, H, W) in [0, 1], white on black."""

SMALLEST = 16
"""Fewest pixels of a side."""

_SMALL = 192
"""Frames with a shorter side below this are drawn at twice the size and averaged, which keeps lines thin."""

_SMALL_GAIN = 1.4
"""Makes up for what averaging takes from a line that is less than one pixel wide."""


_TIE = 1e-3
"""Share by which two neighbours' steepness may differ and still be the same: far more than rounding, and less than
shows."""


@dataclass(frozen=True)
class LineSettings:
    """What counts as a line.

    Attributes:
        scale: deviation in pixels of the smoothing, for a frame of 320 pixels' shorter side; it goes with the square
            root of that side.
        finest: least deviation.
        line_contrast: drawn lines start to show at this and are full at twice this, in hundredths of the lightness
            range, times their width in pixels.
        slope_penalty: how much of the slope is taken from a ridge's strength. 1 erases the dark side of an edge at one
            deviation from it; more is stricter.
        edge_low: weakest colour edge that a stronger one can carry on, in units of Lab (delta E 1976).
        edge_high: colour edge that starts a line, same unit.
        links: pixels that an edge is followed from a strong part along weak ones.
        calm: factor on all thresholds where nothing is around.
        texture: mean step around, in units of Lab, that adds 1 to the factor.
        busiest: most that the factor can be.
    """

    scale: float = 1.0
    finest: float = 1.2
    line_contrast: float = 4.0
    slope_penalty: float = 1.5
    edge_low: float = 7.0
    edge_high: float = 15.0
    links: int = 32
    calm: float = 0.35
    texture: float = 20.0
    busiest: float = 2.0


def extract_lines(frames: Tensor, settings: LineSettings | None = None) -> Tensor:
    """Draw the lines of frames with the built-in extractor.

    Args:
        frames: (n, 3, H, W), RGB in [0, 1], sides of 16 or more.
        settings: what counts as a line.

    Returns:
        (n, 1, H, W) in [0, 1], white on black, on the frames' device, float32.

    Raises:
        ValueError: the shape does not fit.
    """
    _check_frames(frames)
    settings = settings or LineSettings()
    with torch.no_grad():
        frames = frames.float().clamp(0, 1)
        if min(frames.shape[2:]) >= _SMALL:
            return _lines_at_size(frames, settings)
        larger = F.interpolate(frames, scale_factor=2, mode="bilinear", align_corners=False)
        return (_SMALL_GAIN * F.avg_pool2d(_lines_at_size(larger, settings), 2)).clamp(0, 1)


def load_line_extractor(path: Path | None = None) -> LineExtractor:
    """The built-in extractor, or Anime2Sketch with the weights in a file.

    Raises:
        FileNotFoundError: the file is not there.
        ValueError: the file holds no Anime2Sketch generator.
    """
    return extract_lines if path is None else load_anime2sketch(path)


def _check_frames(frames: Tensor) -> None:
    """Refuse what are not frames (n, 3, H, W) with sides of 16 or more, by ValueError."""
    if frames.ndim != 4 or frames.shape[1] != 3 or min(frames.shape[2:]) < SMALLEST:
        raise ValueError(
            f"frames {tuple(frames.shape)} came to the line extractor; it takes (n, 3, H, W) with sides of "
            f"{SMALLEST} or more"
        )


def _lines_at_size(frames: Tensor, settings: LineSettings) -> Tensor:
    """Lines (n, 1, H, W) of frames (n, 3, H, W) in [0, 1], at the frames' own pixels."""
    side = min(frames.shape[2:])
    sigma = max(settings.finest, settings.scale * (side / 320) ** 0.5)
    smooth = _blur(kornia.color.rgb_to_lab(frames), sigma)
    slope = _Slope.of(smooth)
    busy = _busyness(slope, sigma, side, settings)
    drawn = _drawn_lines(smooth[:, :1], busy, sigma, settings)
    near = F.max_pool2d(drawn, 5, stride=1, padding=2)
    edges = _colour_edges(slope, busy, sigma, settings) * (1 - 2 * near).clamp(0, 1)
    return torch.maximum(drawn, _soften(edges)).clamp(0, 1)


def _blur(x: Tensor, sigma: float) -> Tensor:
    size = 2 * max(1, round(3 * sigma)) + 1
    blurred: Tensor = kornia.filters.gaussian_blur2d(x, (size, size), (sigma, sigma), border_type="reflect")
    return blurred


def _differences(x: Tensor) -> tuple[Tensor, Tensor]:
    """Central differences along w and h, per pixel; borders are repeated."""
    padded = F.pad(x, (1, 1, 1, 1), mode="replicate")
    return (padded[..., 1:-1, 2:] - padded[..., 1:-1, :-2]) / 2, (padded[..., 2:, 1:-1] - padded[..., :-2, 1:-1]) / 2


@dataclass(frozen=True)
class _Slope:
    """The colour gradient of Lab (Di Zenzo 1986, the first eigenvalue and vector of the structure tensor).

    Attributes:
        steepness: per pixel in units of Lab, (n, 1, H, W).
        angle: of the steepest way, radians from the w axis, (n, 1, H, W).
    """

    steepness: Tensor
    angle: Tensor

    @classmethod
    def of(cls, lab: Tensor) -> _Slope:
        """Of smoothed Lab (n, 3, H, W)."""
        dx, dy = _differences(lab)
        xx, yy, xy = (dx * dx).sum(1, keepdim=True), (dy * dy).sum(1, keepdim=True), (dx * dy).sum(1, keepdim=True)
        across = torch.sqrt(((xx - yy) / 2).square() + xy.square())
        return cls(torch.sqrt((xx + yy) / 2 + across), torch.atan2(2 * xy, xx - yy) / 2)


def _busyness(slope: _Slope, sigma: float, side: int, settings: LineSettings) -> Tensor:
    """What thresholds are multiplied by (n, 1, H, W): less than 1 in calm surroundings, more in texture."""
    step = slope.steepness * sigma * (2 * torch.pi) ** 0.5
    around = _blur(step, max(1.5, side / 40))
    return (settings.calm + around / settings.texture).clamp(max=settings.busiest)


def _drawn_lines(lightness: Tensor, busy: Tensor, sigma: float, settings: LineSettings) -> Tensor:
    """Dark lines, with their soft profile.

    With L a step smoothed by sigma, sigma^2 L'' and sigma L' are x phi(x) and phi(x) at x deviations from it, so their
    difference vanishes near the edge; at the centre of a line L' is 0 and L'' is at its highest.

    Args:
        lightness: smoothed L* (n, 1, H, W), 0 to 100.
        busy: factor on the contrast that counts (n, 1, H, W).
        sigma: the smoothing's deviation in pixels.
        settings: contrast and slope penalty.

    Returns:
        (n, 1, H, W) in [0, 1].
    """
    dx, dy = _differences(lightness)
    dxx, dxy = _differences(dx)
    _, dyy = _differences(dy)
    larger = (dxx + dyy) / 2 + (((dxx - dyy) / 2).square() + dxy.square()).sqrt()
    slope = (dx.square() + dy.square()).sqrt()
    strength = sigma**2 * larger - settings.slope_penalty * sigma * slope
    start = settings.line_contrast
    return _ramp(strength * (2 * torch.pi) ** 0.5 * sigma / busy, start, 2 * start)


def _colour_edges(slope: _Slope, busy: Tensor, sigma: float, settings: LineSettings) -> Tensor:
    """Colour edges one pixel wide (n, 1, H, W) in [0, 1]; `busy` is a factor on the steps that count."""
    crest = slope.steepness * _is_crest(slope.steepness, slope.angle)
    step = crest * sigma * (2 * torch.pi) ** 0.5 / busy
    strong, weak = step >= settings.edge_high, step >= settings.edge_low
    for _ in range(settings.links):
        strong = _with_neighbours(strong) & weak
    return strong * _ramp(step, 0.0, settings.edge_high)


def _with_neighbours(mask: Tensor) -> Tensor:
    """A mask (n, 1, H, W) and the eight pixels around each of its own. On a CPU pooling takes twenty times as long."""
    rows = F.pad(mask, (1, 1, 0, 0))
    rows = rows[..., :-2] | rows[..., 1:-1] | rows[..., 2:]
    columns = F.pad(rows, (0, 0, 1, 1))
    return columns[..., :-2, :] | columns[..., 1:-1, :] | columns[..., 2:, :]


def _is_crest(steepness: Tensor, angle: Tensor) -> Tensor:
    """1 where the steepness is the highest of its two neighbours at one pixel along the gradient, else 0.

    Where an edge runs between two pixels they tie, and rounding, which is another on every processor, would say which
    is higher, or neither. So of two that differ by rounding only the first along `_forward` counts as higher.
    """
    height, width = steepness.shape[2:]
    rows, columns = torch.meshgrid(
        torch.arange(height, device=steepness.device), torch.arange(width, device=steepness.device), indexing="ij"
    )
    forward = _forward(angle[:, 0])
    crest = torch.ones_like(steepness)
    for sign in (1.0, -1.0):
        x = columns + sign * forward.cos()
        y = rows + sign * forward.sin()
        grid = torch.stack([2 * x / (width - 1) - 1, 2 * y / (height - 1) - 1], dim=-1)
        beside = F.grid_sample(steepness, grid, mode="bilinear", padding_mode="border", align_corners=True)
        crest = crest * (steepness > (1 - sign * _TIE) * beside)
    return crest


def _forward(angle: Tensor) -> Tensor:
    """One of the two ways along a line at this angle (radians, -pi/2 to pi/2), for near angles the same way.

    The way turns round at -1.2, at which no straight edge of pixels ties, and not at an upright gradient, where
    rounding would choose it.
    """
    return torch.where(angle < -1.2, angle + torch.pi, angle)


def _soften(thin: Tensor) -> Tensor:
    """Widen lines of one pixel to one and a half or so, without stairs."""
    return (_blur(thin, 0.6) * 2.0).clamp(0, 1)


def _ramp(x: Tensor, low: float, high: float) -> Tensor:
    """0 below low, 1 above high, straight between."""
    return ((x - low) / (high - low)).clamp(0, 1)
