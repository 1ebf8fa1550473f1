"""Shots by PySceneDetect's adaptive detector, and the stretches that they are divided into."""

from __future__ import annotations

from collections.abc import Iterator

from ..film import UNREADABLE, Film, Stretch, decode, to_array
from ..settings import Shots
from ..store import Result

SIDE = 144
"""px of the shorter side that the detector sees."""
_DELAY = 8
"""Frames; the detector tells of a cut two frames late."""


def find(film: Film, settings: Shots) -> Result:
    """Go through a film once.

    Returns:
        `frames`: of the film. `stretches`: [first frame, frames, time stamp] of each, those of one shot beside each
        other, short ones too. `shots`: how many. `fault`: what the film's reading ended with, or None.
    """
    from scenedetect import FrameTimecode
    from scenedetect.detectors import AdaptiveDetector

    detector = AdaptiveDetector(
        adaptive_threshold=settings.threshold, min_content_val=settings.least_change, min_scene_len=1
    )
    cutter = _Cutter(settings.longest)
    fault = None
    size = film.size(SIDE, 2)
    number = 0
    try:
        for stamp, frame in decode(film):
            cutter.see(number, stamp)
            for cut in detector.process_frame(FrameTimecode(number, film.fps), to_array(frame, size, "bgr24")):
                cutter.cut(cut.frame_num)
            number += 1
    except UNREADABLE as error:
        fault = f"{film.path} cannot be read from frame {number} on: {error}"
    cutter.cut(number)
    return {"frames": number, "shots": cutter.shots, "stretches": cutter.stretches, "fault": fault}


def stretches(film: Film, result: Result, settings: Shots) -> Iterator[Stretch]:
    """Those of a film that are long enough."""
    for first, frames, start in result["stretches"]:
        if frames >= settings.shortest:
            yield Stretch(film, first, frames, start)


class _Cutter:
    """Divides shots while they pass by, and remembers no frames but those that may begin a stretch."""

    def __init__(self, longest: int) -> None:
        self.stretches: list[list[int]] = []
        self.shots = 0
        self._longest = longest
        self._recent: dict[int, int] = {}
        """Time stamps of the last frames."""
        self._begun: list[tuple[int, int]] = []
        """[first frame, time stamp] of this shot's stretches."""

    def see(self, number: int, stamp: int) -> None:
        self._recent[number] = stamp
        self._recent.pop(number - _DELAY, None)
        if not self._begun or number - self._begun[-1][0] == self._longest:
            self._begun.append((number, stamp))

    def cut(self, number: int) -> None:
        """The shot ends before frame `number`."""
        begun = [mark for mark in self._begun if mark[0] < number]
        if not begun:
            return
        ends = [first for first, _ in begun[1:]] + [number]
        self.stretches += [[first, end - first, stamp] for (first, stamp), end in zip(begun, ends, strict=True)]
        self.shots += 1
        self._begun = [(number, self._recent[number])] if number in self._recent else []
