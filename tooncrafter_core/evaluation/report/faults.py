"""What a drawing loses though its pixels are near: outlines, a background that stays, black ink.

Frames are (t, 3, H, W) in [0, 1], the keyframes first and last.
"""

from __future__ import annotations

from torch import Tensor

from ..metrics import line_f1
from .store import Values
from .windows import MIDDLE

STILL = 4 / 255
"""A pixel is still where no true frame differs from the first by more: what a video file's compression does."""

INK = 0.02
"""Share of a frame's pixels, the darkest, that are its ink."""


def faults(frames: Tensor, truth: Tensor, lines: Tensor, true_lines: Tensor) -> Values:
    """`lines` and `worst_lines`: F1 of the frames' lines against the true ones', mean and least of those between the
    keyframes; `still`: by how many levels of 255 the still pixels' mean colour is off in the middle frame; `ink`: the
    middle frame's darkness of ink divided by the keyframes'.

    Args:
        lines: masks (t - 2, 1, H, W) of the lines between the keyframes.
        true_lines: likewise of the truth.
    """
    matches = line_f1(lines, true_lines)
    return {
        "lines": sum(matches) / len(matches),
        "worst_lines": min(matches),
        "still": still_shift(frames[MIDDLE], truth),
        "ink": darkness(frames[MIDDLE]) / max(1e-6, (darkness(truth[0]) + darkness(truth[-1])) / 2),
    }


def still_shift(frame: Tensor, truth: Tensor) -> float:
    """Largest of the three channels' mean shifts over the still pixels of the middle frame, levels of 255; 0 where
    nothing is still."""
    still = ((truth - truth[0]).abs() <= STILL).all(dim=1).all(dim=0)
    if not still.any():
        return 0.0
    return float(255 * (frame - truth[MIDDLE])[:, still].mean(dim=1).abs().max())


def darkness(frame: Tensor) -> float:
    """How far below white the darkest `INK` of a frame (3, H, W) is on average, 0 to 1."""
    grey = frame.mean(dim=0).flatten()
    return float(1 - grey.topk(max(1, round(INK * grey.numel())), largest=False).values.mean())
