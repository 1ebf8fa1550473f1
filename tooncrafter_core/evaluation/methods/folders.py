"""In-betweens that another program has drawn, from its frames in a folder."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from torch import Tensor

from ...files.media import read_image
from ..clips import Clip, frame_files, of_clips, read_frames, size
from .gap import Gap


@dataclass(frozen=True)
class FolderMethod:
    """Frames that are there already; made by `folder_method`.

    Attributes:
        files: clip -> its pictures.
    """

    files: Mapping[str, list[Path]]

    def __call__(self, gap: Gap) -> Tensor:
        return read_frames(self.files[gap.clip])


def folder_method(folder: Path, clips: Sequence[Clip]) -> FolderMethod:
    """The frames in a folder, once they are known to fit the true clips.

    A folder of pictures without sub-folders is the one clip, whatever it is called.

    Raises:
        ValueError: a clip is missing, or has another number of frames or another size than the truth.
    """
    found = of_clips(frame_files(folder), clips, folder, "a sub-folder")
    for clip in clips:
        _check_fits(found[clip.name], clip)
    return FolderMethod(found)


def _check_fits(files: list[Path], clip: Clip) -> None:
    if len(files) != len(clip.files):
        raise ValueError(
            f"{files[0].parent} has {len(files)} frames; expected {len(clip.files)}, as the true clip has, keyframes "
            "included"
        )
    drawn, true = size(read_image(files[0])), size(read_image(clip.files[0]))
    if drawn != true:
        raise ValueError(f"{files[0]} is {drawn}; expected {true}, as {clip.files[0]} is")
