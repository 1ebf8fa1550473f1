"""Which stretches of which held-out clips a model is measured on. Chosen before, and without, any result."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Protocol

from torch import Tensor

from ...settings import nearest_frame_rate
from ...training.clips import stream as clip_stream
from ...training.clips.manifest import Clip, read_manifest

FRAMES = 16
"""Frames of a window, both keyframes included."""

MIDDLE = 7
"""The frame a sketch is given for."""

LARGE_MOTION = 6.0
"""A clip has large motion from this 95th percentile of motion over 16 frames on, in px of the clip."""

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Window:
    """A stretch of a held-out clip.

    Attributes:
        name: the clip's path, relative to the manifest.
        source: what the clip was cut from.
        caption: the prompt.
        fps: frames per second, 1 to 60.
        motion: of the clip, as its manifest says; see `LARGE_MOTION`. Clips are cropped, not scaled, so that px of
            the clip are px of the window (a clip that is smaller than the window is enlarged, though).
        seed: of the noise the in-betweens are made from.
        video: the true frames (t, 3, H, W), uint8.
    """

    name: str
    source: str
    caption: str
    fps: int
    motion: float
    seed: int
    video: Tensor

    @property
    def frames(self) -> Tensor:
        """The true frames in [0, 1]."""
        return as_float(self.video)

    @cached_property
    def identity(self) -> str:
        """Changes with whatever a model is given: pixels, prompt, frame rate, noise."""
        pixels = hashlib.sha256(self.video.contiguous().numpy().tobytes()).hexdigest()
        return digest(self.name, self.caption, self.fps, self.seed, tuple(self.video.shape), pixels)

    @property
    def moves_far(self) -> bool:
        return self.motion >= LARGE_MOTION


def digest(*parts: object) -> str:
    """A name for these values that is the same on every machine."""
    return hashlib.sha256(repr(parts).encode()).hexdigest()


def as_float(video: Tensor) -> Tensor:
    """uint8 -> [0, 1]."""
    return video.float() / 255


def as_bytes(frames: Tensor) -> Tensor:
    """[0, 1] -> uint8, as a picture file would keep them."""
    return (frames.clamp(0, 1) * 255).round().byte()


def in_order(clips: Iterable[Clip], domain: str, seed: int, folder: Path) -> list[Clip]:
    """The held-out clips of a domain, shuffled by seed: one of each source, then a second of each, and so on.

    Raises:
        ValueError: there are none.
    """
    by_source: dict[str, list[Clip]] = {}
    for clip in clips:
        if clip.split == "held_out" and clip.domain == domain:
            by_source.setdefault(clip.source, []).append(clip)
    if not by_source:
        raise ValueError(f"the manifest has no held-out {domain} clips; build the data set, or give another --domain")
    for group in by_source.values():
        group.sort(key=lambda clip: digest(seed, clip_name(clip, folder)))
    sources = sorted(by_source, key=lambda source: digest(seed, source))
    rounds = range(max(map(len, by_source.values())))
    return [by_source[source][i] for i in rounds for source in sources if i < len(by_source[source])]


def clip_name(clip: Clip, folder: Path) -> str:
    """The clip's path relative to the manifest's folder, so that it is the same wherever the data lies."""
    path = Path(clip.path)
    return path.relative_to(folder).as_posix() if path.is_relative_to(folder) else path.as_posix()


class Sample(Protocol):
    """What is used of `clips.Sample`."""

    @property
    def video(self) -> Tensor: ...

    @property
    def fps(self) -> float: ...

    @property
    def caption(self) -> str: ...


Draw = Callable[[Clip, int], Sample | None]
"""The window of a clip that a seed decides; None if the clip cannot be read."""


def drawer(width: int, height: int, stride: int) -> Draw:
    """Draws one window of a clip: where it begins, its crop, and whether it is flipped are decided by the seed."""

    def draw(clip: Clip, seed: int) -> Sample | None:
        item = clip_stream.ClipStream([clip], clip_stream.Cut(FRAMES, width, height, (stride,)), seed, draws=1)[0]
        if isinstance(item, clip_stream.Sample):
            return item
        _log.warning("skipped %s: %s", item.path, item.reason)
        return None

    return draw


def take_windows(clips: Sequence[Clip], count: int, draw: Draw, folder: Path, seed: int) -> tuple[list[Window], int]:
    """The windows of the first `count` clips that can be read, and how many clips were skipped on the way."""
    windows: list[Window] = []
    skipped = 0
    for clip in clips:
        if len(windows) == count:
            break
        name = clip_name(clip, folder)
        own_seed = int(digest(seed, name)[:8], 16)  # with one for all, all would be flipped, or none
        sample = draw(clip, own_seed)
        if sample is None:
            skipped += 1
        else:
            windows.append(_window(clip, sample, name, own_seed))
    return windows, skipped


def held_out_windows(manifest: Path, domain: str, count: int, draw: Draw, seed: int) -> tuple[list[Window], int]:
    """The windows of a domain, see `in_order` and `take_windows`.

    Raises:
        ValueError: there are no such clips, or none can be read.
    """
    folder = manifest.parent
    clips = in_order(read_manifest(manifest), domain, seed, folder)
    windows, skipped = take_windows(clips, count, draw, folder, seed)
    if not windows:
        raise ValueError(f"none of the {len(clips)} held-out {domain} clips could be read; see the messages above")
    return windows, skipped


def _window(clip: Clip, sample: Sample, name: str, seed: int) -> Window:
    return Window(
        name=name,
        source=clip.source,
        caption=sample.caption,
        fps=nearest_frame_rate(sample.fps),
        motion=clip.motion,
        seed=seed,
        video=sample.video,
    )
