"""Do frames move as the true ones do?"""

from __future__ import annotations

import torch
from torch import Tensor

from ..optical_flow import check_opencv, warp
from .measure import Measure, Truth


def warping_measure() -> Measure:
    """Temporal warping error (Lai et al. 2018, section 4.2) along the optical flow of the true frames.

    Raises:
        ValueError: OpenCV is not installed.
    """
    check_opencv("the measure warping")
    about = (
        "Temporal warping error (Lai et al. 2018): how far neighbouring frames differ along the true frames' optical "
        "flow (DIS), where both show the same; root mean square, of 255."
    )
    return Measure("warping error, of 255", "lower", about, warping_error, shown=_levels, of_truth=True)


def warping_error(frames: Tensor, truth: Truth) -> Tensor:
    """Mean squared difference of each in-between to its two neighbours warped onto it: (t - 2,)."""
    steps = []
    for a, b, (flow, seen) in zip(frames, frames[1:], truth.motion, strict=False):
        error = (a - warp(b, flow)).square().mean(dim=0)
        steps.append((error * seen).sum() / seen.sum().clamp(min=1))
    errors = torch.stack(steps)
    return (errors[:-1] + errors[1:]) / 2


def _levels(squared: float) -> float:
    return 255 * squared**0.5
