"""A film as the pipeline sees it: a file's content, and frames of it found again by their time stamps."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import av
import numpy as np
from numpy.typing import NDArray

from ...files.whole import file_digest
from ...inputs import check_text

UNREADABLE = (ValueError, EOFError, av.error.PatchWelcomeError)
"""What reading frames raises for damaged files; `av.error.InvalidDataError` is a ValueError. What the system raises, as
for a disk that is gone, says nothing of the file and is not among them."""

Frames = NDArray[np.uint8]
"""(t, H, W, 3)"""


@dataclass(frozen=True)
class Film:
    """A video file.

    Attributes:
        path: of the file.
        digest: SHA-256 of its content.
        fps: frames per second.
        width, height: px.
    """

    path: Path
    digest: str
    fps: float
    width: int
    height: int

    @property
    def name(self) -> str:
        """Tells films apart, also those of equal file names."""
        return f"{self.path.stem}-{self.digest[:8]}"

    def size(self, side: int, multiple: int) -> tuple[int, int]:
        """[width, height] with a shorter side of `side`, or of the film's own if that is less, as multiples."""
        scale = min(1.0, side / min(self.width, self.height))
        width, height = (max(1, round(scale * length / multiple)) * multiple for length in (self.width, self.height))
        return width, height


@dataclass(frozen=True)
class Stretch:
    """Neighbouring frames of one shot, which may become a clip.

    Attributes:
        film: that it is of.
        first: number of its first frame.
        frames: how many.
        start: the first frame's time stamp, in the video stream's ticks.
    """

    film: Film
    first: int
    frames: int
    start: int

    @property
    def name(self) -> str:
        return f"{self.film.name}-{self.first:07}"


def open_film(path: Path) -> Film:
    """Look at a file's head, and read it once for its digest.

    Raises:
        ValueError: it is not there, has a name that is not UTF-8, is no video, or does not say its size and speed.
    """
    if not os.path.isfile(path):  # Path.is_file raises where a name is too long
        raise ValueError(f"there is no file {path}; expected a video")
    check_text(path)
    try:
        with av.open(str(path)) as container:
            if not container.streams.video:
                raise ValueError(f"{path} has no video stream; expected a video")
            stream = container.streams.video[0]
            width, height = stream.codec_context.width, stream.codec_context.height
            rate = stream.average_rate or stream.guessed_rate
    except av.FFmpegError as error:
        raise ValueError(f"{path} cannot be read as a video ({error}); expected one that ffmpeg can decode") from error
    if not (width and height and rate):
        raise ValueError(f"{path} says no size or frame rate; write it anew with: ffmpeg -i FILE -c copy NEW.mkv")
    return Film(path.absolute(), file_digest(path), float(rate), width, height)


def decode(film: Film, start: int | None = None) -> Iterator[tuple[int, av.VideoFrame]]:
    """[time stamp, frame] in the order shown, from the one with time stamp `start` on, or all.

    Raises:
        ValueError: frames have no time stamps.
        av.FFmpegError: the file is damaged.
    """
    with av.open(str(film.path)) as container:
        stream = container.streams.video[0]
        stream.codec_context.thread_count = 1
        if start is not None:
            container.seek(start, stream=stream)
        for frame in container.decode(stream):
            if frame.pts is None:
                raise ValueError(
                    f"{film.path} has frames without a time stamp; write it anew with: ffmpeg -i FILE NEW.mkv"
                )
            if start is None or frame.pts >= start:
                yield frame.pts, frame


def stretch_frames(stretch: Stretch) -> Iterator[av.VideoFrame]:
    """A stretch's frames one after the other.

    Raises:
        ValueError: the film ends earlier, or frames have no time stamps.
        av.FFmpegError: the film is damaged.
    """
    count = 0
    for _, frame in islice(decode(stretch.film, stretch.start), stretch.frames):
        count += 1
        yield frame
    if count < stretch.frames:
        raise ValueError(
            f"{stretch.film.path} ends before frame {stretch.first + count}; expected {stretch.frames - count} more; "
            "it may have been cut off since its shots were found"
        )


def to_array(frame: av.VideoFrame, size: tuple[int, int], pixels: str = "rgb24") -> Frames:
    """A frame of the wanted [width, height], averaged where it becomes smaller."""
    array = frame.to_ndarray(format=pixels, width=size[0], height=size[1], interpolation="AREA")
    return np.asarray(array, np.uint8)
