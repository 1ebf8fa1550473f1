"""A stream of short videos drawn at random from a clip list, in which each draw can be repeated alone."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import av
import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor
from torch.utils.data import Dataset

from ...files.media import read_image
from .manifest import Clip

_UNREADABLE = (av.FFmpegError, OSError, ValueError, SyntaxError, EOFError, Image.DecompressionBombError)
"""What PyAV and Pillow raise for files that they cannot read; Pillow's PNG reader does raise SyntaxError."""


@dataclass(frozen=True)
class Sample:
    """One draw."""

    video: Tensor
    """(t, 3, H, W) uint8"""
    fps: float
    """Frames per second of the draw: the clip's divided by the stride."""
    caption: str
    clip: int
    """Index in the stream's clips."""
    flipped: bool
    """Left and right are exchanged."""
    start: int
    """Frame of the clip that became frame 0."""
    stride: int
    """Frame i is frame start + i * stride of the clip."""


@dataclass(frozen=True)
class Skipped:
    """A draw that its clip could not give."""

    path: Path
    reason: str


@dataclass(frozen=True)
class Cut:
    """What is cut out of a clip for a sample.

    Attributes:
        frames: of a sample.
        width, height: of a sample, px.
        strides: steps in the clip from one frame of a sample to its next, of which each draw takes one.

    Raises:
        ValueError: no strides, or a number that is too small.
    """

    frames: int
    width: int
    height: int
    strides: Sequence[int] = (1,)

    def __post_init__(self) -> None:
        for name in ("frames", "width", "height"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} is {getattr(self, name)}; expected 1 or more")
        if not self.strides or min(self.strides) < 1:
            raise ValueError(f"strides are {list(self.strides)}; expected at least one, each 1 or more")

    def span(self, stride: int) -> int:
        """Frames of the clip from a sample's first to its last."""
        return (self.frames - 1) * stride + 1


class ClipStream(Dataset["Sample | Skipped"]):
    """`draws` samples, number n of which depends on (seed, n) and on what they are drawn from, and on nothing else.

    A draw picks a clip, one of the strides for which it is long enough, a start and whether to flip, all uniformly. A
    clip at least as large as wanted is cropped as it is; a smaller one is enlarged to cover the wanted size and then
    cropped. The place of the crop is random. A clip that is too short or cannot be read makes the draw a `Skipped`.
    Draws from number `draws` on can be had too, in place of skipped ones.

    Args:
        clips: what samples are drawn from.
        cut: what a sample is of its clip.
        seed: 0 or more.
        draws: samples, 1 or more.

    Raises:
        ValueError: no clips, or a number that is too small.
    """

    def __init__(self, clips: Sequence[Clip], cut: Cut, seed: int, draws: int) -> None:
        if draws < 1:
            raise ValueError(f"draws is {draws}; expected 1 or more")
        if seed < 0:
            raise ValueError(f"seed is {seed}; expected 0 or more")
        if not clips:
            raise ValueError("there are no clips; expected at least one: check the clip list and the split asked for")
        self.clips = tuple(clips)
        self.cut, self.seed, self.draws = cut, seed, draws

    def __len__(self) -> int:
        return self.draws

    def __iter__(self) -> Iterator[Sample | Skipped]:
        return (self[n] for n in range(self.draws))

    def __getitem__(self, n: int) -> Sample | Skipped:
        """Draw n, 0 or more.

        Raises:
            IndexError: n is negative.
        """
        if n < 0:
            raise IndexError(f"draw {n} was asked for; expected 0 or more")
        rng = np.random.default_rng([self.seed, n])
        index = int(rng.integers(len(self.clips)))
        path = self.clips[index].path
        try:
            return self._draw(rng, index)
        except _UNREADABLE as error:
            return Skipped(path, str(error) or type(error).__name__)

    def _draw(self, rng: np.random.Generator, index: int) -> Sample:
        clip = self.clips[index]
        length = _count_frames(clip.path)
        strides = [stride for stride in self.cut.strides if self.cut.span(stride) <= length]
        if not strides:
            raise ValueError(f"has {length} frames; expected at least {self.cut.span(min(self.cut.strides))}")
        stride = strides[rng.integers(len(strides))]
        span = self.cut.span(stride)
        start = int(rng.integers(length - span + 1))
        flipped = bool(rng.integers(2))
        video = _read_frames(clip.path, range(start, start + span, stride))
        video = self._crop(rng, video)
        if flipped:
            video = video.flip(-1)
        return Sample(video.contiguous(), clip.fps / stride, clip.caption, index, flipped, start, stride)

    def _crop(self, rng: np.random.Generator, video: Tensor) -> Tensor:
        """Video (t, 3, h, w) uint8 to (t, 3, H, W)."""
        (height, width), cut = video.shape[-2:], self.cut
        scale = max(cut.height / height, cut.width / width)
        if scale > 1:
            height, width = max(round(height * scale), cut.height), max(round(width * scale), cut.width)
            enlarged = F.interpolate(video.float(), (height, width), mode="bicubic", antialias=True)
            video = enlarged.round().clamp(0, 255).byte()
        top, left = int(rng.integers(height - cut.height + 1)), int(rng.integers(width - cut.width + 1))
        return video[..., top : top + cut.height, left : left + cut.width]


def _count_frames(path: Path) -> int:
    if os.path.isdir(path):
        return len(_pictures(path))
    if path.exists() and not path.is_file():
        raise ValueError("is a device or a pipe; expected a video file or a folder of pictures")
    with av.open(str(path)) as container:
        stream = _video_stream(container, path)
        # Not every container says how many frames it has.
        count = stream.frames or sum(packet.size > 0 for packet in container.demux(stream))
    return count


def _read_frames(path: Path, numbers: range) -> Tensor:
    """Frames of a clip as (t, 3, h, w) uint8.

    Raises:
        ValueError: the clip ends earlier, or its frames differ in size.
    """
    found = list(_folder_frames(path, numbers) if os.path.isdir(path) else _video_frames(path, numbers))
    if len(found) < len(numbers):
        raise ValueError(f"ends before frame {numbers[len(found)]}; the file may be cut off")
    sizes = {tuple(frame.shape) for frame in found}
    if len(sizes) > 1:
        raise ValueError(f"has frames of different sizes (3, height, width): {sorted(sizes)}; expected one size")
    return torch.stack(found)


def _video_frames(path: Path, numbers: range) -> Iterator[Tensor]:
    with av.open(str(path)) as container:
        stream = _video_stream(container, path)
        stream.codec_context.thread_count = 1
        for number, frame in enumerate(container.decode(stream)):
            if number in numbers:
                yield torch.from_numpy(frame.to_ndarray(format="rgb24")).permute(2, 0, 1)
            if number >= numbers[-1]:
                return


def _folder_frames(path: Path, numbers: range) -> Iterator[Tensor]:
    pictures = _pictures(path)
    for number in numbers:
        yield (read_image(pictures[number]) * 255).round().byte()


def _pictures(folder: Path) -> list[Path]:
    """Pictures of a folder in the order of their names."""
    known = Image.registered_extensions()
    return sorted(path for path in folder.iterdir() if path.suffix.lower() in known)


def _video_stream(container: av.container.InputContainer, path: Path) -> av.VideoStream:
    if not container.streams.video:
        raise ValueError(f"{path.name} has no video stream; expected a video file or a folder of pictures")
    return container.streams.video[0]
