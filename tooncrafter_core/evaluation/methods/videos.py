"""In-betweens that another program has drawn, from a video file for each clip."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import av
import torch
from torch import Tensor

from ..clips import Clip, of_clips, size
from .gap import Gap

ENDINGS = (".mp4", ".mov", ".mkv", ".webm", ".avi")


@dataclass(frozen=True)
class VideoMethod:
    """Videos that are there already; made by `video_method`.

    Attributes:
        files: clip -> its video.
    """

    files: Mapping[str, Path]

    def __call__(self, gap: Gap) -> Tensor:
        return read_video(self.files[gap.clip])


def is_video(path: Path) -> bool:
    """Whether this is a video, or a folder with videos right in it."""
    return bool(_videos(path))


def video_method(path: Path, clips: Sequence[Clip]) -> VideoMethod:
    """The videos in a folder, or the one of one clip, once they are known to fit the true clips.

    Raises:
        ValueError: a clip is missing or comes twice, a file cannot be read, or has another number of frames or another
            size than the truth.
    """
    found: dict[str, Path] = {}
    for file in _videos(path):
        if other := found.get(file.stem):
            raise ValueError(f"{path} has two videos of the clip {file.stem}: {other.name} and {file.name}; remove one")
        found[file.stem] = file
    found = of_clips(found, clips, path, "a video")
    for clip in clips:
        drawn, true = read_video(found[clip.name]), clip.frames()
        if drawn.shape != true.shape:
            raise ValueError(
                f"{found[clip.name]} has {len(drawn)} frames of {size(drawn)}; expected {len(true)} of {size(true)}, "
                "as the true clip has, keyframes included"
            )
    return VideoMethod(found)


def read_video(path: Path) -> Tensor:
    """All frames (t, 3, H, W) in [0, 1].

    Raises:
        ValueError: it cannot be decoded, or has no frames.
    """
    try:
        with av.open(str(path)) as container:
            pictures = [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]
    except (av.FFmpegError, IndexError) as error:
        raise ValueError(f"{path} cannot be read as a video ({error}); expected one that FFmpeg can decode") from error
    if not pictures:
        raise ValueError(f"{path} has no frames; expected a video")
    return torch.stack([torch.from_numpy(picture) for picture in pictures]).permute(0, 3, 1, 2).float() / 255


def _videos(path: Path) -> list[Path]:
    entries = sorted(path.iterdir()) if os.path.isdir(path) else [path]
    return [entry for entry in entries if entry.suffix.lower() in ENDINGS and os.path.isfile(entry)]
