"""What all clips of the data set share: seed, size, speed and kind of file."""

from __future__ import annotations

from pathlib import Path

import av
import numpy as np
from numpy.typing import NDArray

SEED = 0
HELD_OUT = 0.1
"""Share of the shots, and of the characters, that no training sees."""
WIDTH, HEIGHT = 128, 64
"""Size of every clip, px."""
FPS = 24
WINDOW = 16
"""Frames over which motion is measured."""

Frames = NDArray[np.uint8]
"""(t, HEIGHT, WIDTH, 3)"""


def write_clip(path: Path, frames: Frames) -> None:
    """Write a small mp4 of nearly no loss."""
    with av.open(str(path), "w") as container:
        options = {"crf": "10", "preset": "fast", "threads": "1"}
        stream = container.add_stream("libx264", rate=FPS, options=options)
        stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, "yuv444p"
        for frame in frames:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(np.ascontiguousarray(frame), format="rgb24")))
        container.mux(stream.encode())
