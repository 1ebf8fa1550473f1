"""Segments longer than the decoder was trained for: decoded in groups of frames that each span the whole segment."""

from __future__ import annotations

import math

TRAINED = 16
"""Frames of a segment that the decoder was trained on (paper, section 4.1)."""


def interleaved(frames: int) -> list[list[int]]:
    """Divide the frames of a segment into groups that are decoded one by one.

    Detail of the keyframes enters at the first and the last frame and reaches the others through temporal convolutions,
    which see one frame further in each layer. So every group holds both ends, and between them every n-th frame: the
    middle is as few steps away from them as in training.

    Args:
        frames: of the segment, t.

    Returns:
        rising frames of each group, `TRAINED` at most, in the fewest groups there can be; together all of 0 to t - 1,
        both ends in each
    """
    if frames <= TRAINED:
        return [list(range(frames))]
    count = math.ceil((frames - 2) / (TRAINED - 2))
    inner = range(1, frames - 1)
    return [[0, *inner[first::count], frames - 1] for first in range(count)]
