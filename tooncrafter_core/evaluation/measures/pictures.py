"""Measures of single frames against true ones."""

from __future__ import annotations

from pathlib import Path

import torch
from kornia.metrics import ssim
from torch import Tensor

from ...training.losses.perceptual import load_perceptual
from ..metrics import LINE_RADIUS, PSNR_CEILING, line_f1, perceptual_distances
from .measure import Measure, Truth, lines_of

_WINDOW = 11
"""px; the Gaussian in it has a deviation of 1.5 px (Wang et al. 2004)."""


def psnr_measure() -> Measure:
    """Peak signal-to-noise ratio of a clip's mean squared error, so that one equal frame does not decide."""
    about = "Peak signal-to-noise ratio of the mean squared error over a clip's in-betweens."
    return Measure("PSNR, dB", "higher", about, _squared_error, shown=_decibels)


def ssim_measure() -> Measure:
    """Structural similarity, of RGB, over whole windows of 11 px (Wang et al. 2004)."""
    about = "Structural similarity (Wang et al. 2004) of RGB, Gaussian window of 11 px."
    return Measure("SSIM", "higher", about, _ssim)


def perceptual_measure(*files: Path) -> Measure:
    """LPIPS with weights from files, named by what they are.

    Raises:
        FileNotFoundError, ValueError: see `load_perceptual`.
    """
    distance = load_perceptual(*files)
    name = "shift-tolerant LPIPS" if distance.blurred else "LPIPS"
    about = f"Perceptual distance ({distance.network}, {', '.join(file.name for file in files)})."
    return Measure(name, "lower", about, lambda frames, truth: perceptual_distances(distance, *_inner(frames, truth)))


def line_measure() -> Measure:
    """F1 of the lines that the project's own extractor finds in drawn and true frames."""
    about = f"F1 of line pixels (built-in extractor) that lie within {LINE_RADIUS} px of true ones, and the other way."
    return Measure("line F1", "higher", about, _line_f1)


def _inner(frames: Tensor, truth: Truth) -> tuple[Tensor, Tensor]:
    return frames[1:-1], truth.frames[1:-1]


def _squared_error(frames: Tensor, truth: Truth) -> Tensor:
    drawn, true = _inner(frames, truth)
    return (drawn.double() - true.double()).square().mean(dim=(1, 2, 3))


def _decibels(error: float) -> float:
    return min(PSNR_CEILING, -10 * float(torch.tensor(error).clamp(min=1e-30).log10()))


def _ssim(frames: Tensor, truth: Truth) -> Tensor:
    drawn, true = _inner(frames, truth)
    return ssim(drawn, true, _WINDOW, padding="valid").mean(dim=(1, 2, 3))


def _line_f1(frames: Tensor, truth: Truth) -> Tensor:
    return torch.tensor(line_f1(lines_of(frames[1:-1]), truth.lines[1:-1]))
