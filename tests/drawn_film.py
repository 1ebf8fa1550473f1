"""Films drawn here, in which a test knows every shot."""

from __future__ import annotations

from pathlib import Path

import av
import cv2
import numpy as np
from numpy.typing import NDArray

WIDTH, HEIGHT, FPS = 192, 144, 24
SHOT = 30
"""Frames."""


def scenery(seed: int) -> NDArray[np.uint8]:
    """A picture twice as wide as the film."""
    rough = np.random.default_rng(seed).integers(0, 256, (9, 24, 3), np.uint8)
    return np.asarray(cv2.resize(rough, (2 * WIDTH, HEIGHT), interpolation=cv2.INTER_CUBIC), np.uint8)


def pan(seed: int) -> list[NDArray[np.uint8]]:
    """A shot in which the camera moves by two px a frame."""
    picture = scenery(seed)
    return [picture[:, 2 * frame : 2 * frame + WIDTH] for frame in range(SHOT)]


def flicker(seed: int) -> list[NDArray[np.uint8]]:
    """A pan, every other frame of which is darker."""
    return [frame // (1 + index % 2) for index, frame in enumerate(pan(seed))]


def write_film(path: Path, frames: list[NDArray[np.uint8]]) -> Path:
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=FPS, options={"crf": "12", "threads": "1", "g": "12"})
        stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, "yuv420p"
        for frame in frames:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(np.ascontiguousarray(frame), format="rgb24")))
        container.mux(stream.encode())
    return path


def all_kinds(folder: Path) -> Path:
    """Shots of 30 frames: a pan, a still, another pan, the first pan again; then 10 frames of a third."""
    still = [scenery(7)[:, :WIDTH]] * SHOT
    return write_film(folder / "all kinds.mp4", [*pan(1), *still, *pan(2), *pan(1), *pan(3)[:10]])
