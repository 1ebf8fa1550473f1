"""What the stages see of a stretch: every frame small, and three of them large."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .film import Frames, Stretch, stretch_frames, to_array

SMALL, LARGE = 144, 384
"""px of the shorter side."""
_MULTIPLE = 8
"""Of small frames' sides, which RAFT asks for."""
_PLACES = (0.1, 0.5, 0.9)
"""Of the large pictures, as shares of the stretch."""


@dataclass(frozen=True)
class Views:
    """A stretch's pictures.

    Attributes:
        frames: all, (t, h, w, 3) with a shorter side of about 144 px.
        pictures: three of them, (3, H, W, 3) with a shorter side of 384 px, or the film's own if that is less.
    """

    frames: Frames
    pictures: Frames


def look(stretch: Stretch) -> Views:
    """Decode a stretch.

    Raises:
        ValueError, av.FFmpegError: see `stretch_frames`.
    """
    width, height = stretch.film.size(SMALL, _MULTIPLE)
    large = stretch.film.size(LARGE, 2)
    chosen = [int(place * (stretch.frames - 1)) for place in _PLACES]
    frames = np.empty((stretch.frames, height, width, 3), np.uint8)
    pictures = {}
    for number, frame in enumerate(stretch_frames(stretch)):
        frames[number] = to_array(frame, (width, height))
        if number in chosen:
            pictures[number] = to_array(frame, large)
    return Views(frames, np.stack([pictures[number] for number in chosen]))
