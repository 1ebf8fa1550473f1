"""Parts of a shot that is not finished: segments, and runs of its long ones."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import cast

from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from ...files.whole import written_whole
from ..tasks import Part

_DRAWN = "drawn"
_SECONDS = "seconds"


@dataclass(frozen=True)
class Parts:
    """What is drawn of a shot, from one input.

    Attributes:
        folder: theirs alone.
    """

    folder: Path

    def read(self, part: Part) -> Tensor | None:
        """Frames (3, t, H, W) of a segment, or latents of a run, that were drawn before, if they were."""
        try:
            with safe_open(self._file(part), "pt") as file:
                return cast(Tensor, file.get_tensor(_DRAWN))
        except (FileNotFoundError, SafetensorError):
            return None

    def has(self, part: Part) -> bool:
        """Whether it is there, whole; what is in it is not read."""
        return _seconds(self._file(part)) is not None

    def write(self, part: Part, drawn: Tensor, seconds: float) -> None:
        """Keep a part, and the seconds it took.

        Raises:
            OSError: it cannot be written.
        """
        with written_whole(self._file(part)) as unfinished:
            save_file({_DRAWN: drawn.contiguous()}, unfinished, {_SECONDS: str(seconds)})

    def seconds(self) -> float:
        """What all that are there took."""
        return sum(filter(None, map(_seconds, self.folder.glob("*.safetensors"))))

    def _file(self, part: Part) -> Path:
        name = f"{part:04}" if isinstance(part, int) else f"{part.segment:04}_{part.number:02}"
        return self.folder / f"{name}.safetensors"


def _seconds(part: Path) -> float | None:
    """What a part took; None where it is not there, damaged, or of an earlier version, and drawn again."""
    try:
        with safe_open(part, "pt") as file:
            file.get_slice(_DRAWN)
            return float((file.metadata() or {})[_SECONDS])
    except (FileNotFoundError, SafetensorError, KeyError, ValueError):
        return None
