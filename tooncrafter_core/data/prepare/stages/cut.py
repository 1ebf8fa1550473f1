"""A stretch becomes a video file."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import av

from ..film import Stretch, stretch_frames, to_array
from ..settings import Clips


def size(stretch: Stretch, settings: Clips) -> tuple[int, int]:
    """[width, height] of a clip, px: multiples of 16, for at other sizes x264's bytes differ from call to call."""
    return stretch.film.size(settings.side, 16)


def write(stretch: Stretch, settings: Clips, path: Path) -> None:
    """Write an mp4 of nearly no loss; the same stretch and settings give the same bytes.

    Raises:
        ValueError, av.FFmpegError: see `stretch_frames`.
    """
    width, height = size(stretch, settings)
    options = {"crf": str(settings.crf), "preset": "veryfast", "threads": "1"}
    with av.open(str(path), "w", format="mp4") as container:
        stream = container.add_stream(
            "libx264", rate=Fraction(stretch.film.fps).limit_denominator(1001), options=options
        )
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        for frame in stretch_frames(stretch):
            small = to_array(frame, (width, height), "yuv420p")
            container.mux(stream.encode(av.VideoFrame.from_ndarray(small, format="yuv420p")))
        container.mux(stream.encode())
