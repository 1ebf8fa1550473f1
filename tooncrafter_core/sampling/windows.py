"""Segments longer than the model was trained for: overlapping windows, and the mean of what is predicted in them."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor


def windows(frames: int, length: int) -> list[slice]:
    """Where the windows of a segment stand: spread evenly, neighbours overlapping by half a window or more.

    Args:
        frames: t, frames of the segment.
        length: frames of a window. A segment of no more than these is one window.
    """
    if frames <= length:
        return [slice(0, frames)]
    last = frames - length
    steps = math.ceil(last / max(length // 2, 1))
    return [slice(start, start + length) for start in (i * last // steps for i in range(steps + 1))]


def predict_in_windows(predict: Callable[[slice], Tensor], frames: int, length: int) -> Tensor:
    """One prediction for all frames of a segment: at each frame, the weighted mean of its windows' predictions.

    MultiDiffusion (Bar-Tal et al. 2023, equation 5), over time as Gen-L-Video does it (Wang et al. 2023). The weights
    fall linearly from a window's middle to its ends. Windows run one after the other, so memory does not grow with
    their number; a single window's prediction is returned as it is.

    Args:
        predict: v of the frames in a window (b, c, length, h, w).
        frames: t.
        length: frames of a window.

    Returns:
        (b, c, t, h, w)
    """
    spans = windows(frames, length)
    if len(spans) == 1:
        return predict(spans[0])
    shares = _shares(spans, frames, length)
    first = _weighted(predict(spans[0]), shares[0])
    blended = first.new_zeros(*first.shape[:2], frames, *first.shape[3:])
    blended[:, :, spans[0]] = first
    for span, share in zip(spans[1:], shares[1:], strict=True):
        blended[:, :, span] += _weighted(predict(span), share)
    return blended


def _shares(spans: list[slice], frames: int, length: int) -> list[Tensor]:
    """Each window's weights, which at every frame of the segment sum to 1."""
    rising = torch.arange(1, length + 1)
    weights = torch.minimum(rising, rising.flip(0)).float()
    total = torch.zeros(frames)
    for span in spans:
        total[span] += weights
    return [weights / total[span] for span in spans]


def _weighted(prediction: Tensor, share: Tensor) -> Tensor:
    return prediction * share.to(prediction)[:, None, None]
