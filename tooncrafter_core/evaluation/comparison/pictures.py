"""Pictures beside the pages: a strip of every clip, and the study's films."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from torch import Tensor

from ...files.media import write_contact_sheet
from ...files.whole import folder_written_whole
from ...frames.sheets import variants_sheet
from ..clips import Clip
from .page import Strip
from .study import columns_of

STRIPS, FILMS = "strips", "films"

_SHOWN = 8
"""Frames of a strip."""


class Pictures:
    """Writes pictures while the clips go by. Names do not say which method a film is of.

    Args:
        strips: folder of the strips.
        films: folder of the films.
        wanted: (clip, method) of the films that the study shows.
    """

    def __init__(self, strips: Path, films: Path, wanted: Collection[tuple[str, str]]) -> None:
        self._strips, self._films = strips, films
        self._numbers = {key: number for number, key in enumerate(wanted)}
        self.strips: list[Strip] = []

    def add(self, clip: Clip, drawn: Mapping[str, Tensor]) -> None:
        """One clip's frames by method."""
        name = f"{len(self.strips):04}.png"
        sheet = variants_sheet(list(drawn.values()), list(drawn), _SHOWN)
        write_contact_sheet(sheet[None], self._strips / name, columns=1)
        self.strips.append(Strip(clip.name, clip.group, f"{STRIPS}/{name}"))
        for method, frames in drawn.items():
            if (clip.name, method) in self._numbers:
                path = self._films / Path(self.film(clip.name, method)).name
                write_contact_sheet(frames, path, columns_of(len(frames)))

    def film(self, clip: str, method: str) -> str:
        """Where the study's page finds a film."""
        return f"{FILMS}/{self._numbers[clip, method]:04}.png"


@contextmanager
def pictures_written_whole(out: Path, wanted: Collection[tuple[str, str]]) -> Iterator[Pictures]:
    """Both folders of pictures appear whole or not at all.

    Raises:
        ValueError: one holds other files.
        OSError: one cannot be written.
    """
    with folder_written_whole(out / STRIPS) as strips, folder_written_whole(out / FILMS) as films:
        yield Pictures(strips, films, wanted)
