"""Clips cut from the film: which frames, which part of the picture, and which are of no use."""

from __future__ import annotations

import json
import logging
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import groupby, islice
from pathlib import Path

import av
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from ..training.clips.manifest import Clip
from .clip_format import FPS, HEIGHT, HELD_OUT, SEED, WIDTH, WINDOW, Frames, write_clip
from .prepare.film import Film, Stretch, stretch_frames

log = logging.getLogger(__name__)

LONGEST, SHORTEST = 48, 24
"""Frames of a clip."""
BOXES = 6
"""Cuts of the picture taken from every stretch of the film."""
BOX_WIDTHS = (320, 1280)
DISSOLVE = 6
"""Frames of half of the time over which dissolves are looked for."""
CREDITS = (11757, 13917)
"""The shot with the credits: text only."""

_FACTS = Path(__file__).resolve().parent / "bbb_shots.json"


@dataclass(frozen=True)
class Shot:
    """A shot of the film: frames [first, end)."""

    number: int
    first: int
    end: int
    split: str


@dataclass(frozen=True)
class Cut:
    """A part of the film's picture over frames [first, end)."""

    name: str
    shot: Shot
    first: int
    end: int
    box: tuple[float, float, float, float]
    """Left, top, right, bottom in px of the film."""
    motion: float


def read_shots() -> tuple[list[Shot], list[tuple[int, float]]]:
    """The film's shots, credits left out, and [first frame, px of motion at 512 px width] of its 16-frame windows."""
    facts = json.loads(_FACTS.read_text())
    spans = [(number, *span) for number, span in enumerate(facts["shots"]) if tuple(span) != CREDITS]
    held_out = set(np.random.default_rng(SEED).permutation(len(spans))[: round(HELD_OUT * len(spans))].tolist())
    shots = [
        Shot(number, first, end, "held_out" if index in held_out else "train")
        for index, (number, first, end) in enumerate(spans)
    ]
    return shots, [(first, motion) for first, motion in facts["windows"]]


def plan_cuts(shots: Sequence[Shot], windows: Sequence[tuple[int, float]]) -> list[Cut]:
    """Stretches of the shots, disjoint in time, each seen through several boxes; in the order of their first frames."""
    cuts = []
    for shot in shots:
        rng = np.random.default_rng([SEED, shot.number])
        for first in range(shot.first, shot.end, LONGEST):
            end = min(first + LONGEST, shot.end)
            if end - first < SHORTEST:
                continue
            moved = [motion for start, motion in windows if first - WINDOW // 2 <= start <= end - WINDOW // 2]
            for index in range(BOXES):
                width = BOX_WIDTHS[0] * (BOX_WIDTHS[1] / BOX_WIDTHS[0]) ** rng.random()
                left, top = rng.uniform(0, (1280 - width, 720 - width * HEIGHT / WIDTH))
                motion = max(moved, default=0.0) * (1280 / 512) * (WIDTH / width)
                box = (left, top, left + width, top + width * HEIGHT / WIDTH)
                name = f"film-{shot.number:03}-{first:05}-{index}"
                cuts.append(Cut(name, shot, first, end, box, round(motion, 2)))
    return cuts


def write_shot(folder: Path, film: Film, cuts: Sequence[Cut]) -> list[Clip]:
    """Write every cut of one shot that is one smooth, visible movement.

    Args:
        folder: of the set.
        film: it.
        cuts: all of one shot, in the order of `plan_cuts`.
    """
    clips = []
    rejected: Counter[str] = Counter()
    frames = shot_frames(film, cuts[0].shot)
    for _, stretch in groupby(cuts, lambda cut: cut.first):
        for cut, pictures in _look(list(stretch), frames):
            if fault := find_fault(pictures):
                rejected[fault] += 1
                continue
            path = folder / "clips" / f"{cut.name}.mp4"
            write_clip(path, pictures)
            source = f"bbb:shot-{cut.shot.number:03}"
            clips.append(Clip(path, float(FPS), "animated film", cut.shot.split, source, "film", cut.motion))
    log.info("film, shot %d: %d clips; left out: %s", cuts[0].shot.number, len(clips), dict(rejected))
    return clips


def _look(cuts: Sequence[Cut], frames: Iterator[av.VideoFrame]) -> list[tuple[Cut, Frames]]:
    """Each cut of one stretch with what is seen of the next frames through its box."""
    seen: list[list[NDArray[np.uint8]]] = [[] for _ in cuts]
    for frame in islice(frames, cuts[0].end - cuts[0].first):
        whole = frame.to_image()
        for cut, pictures in zip(cuts, seen, strict=True):
            small = whole.resize((WIDTH, HEIGHT), Image.Resampling.BICUBIC, box=cut.box, reducing_gap=2.0)
            pictures.append(np.asarray(small))
    return [(cut, np.stack(pictures)) for cut, pictures in zip(cuts, seen, strict=True)]


def shot_frames(film: Film, shot: Shot) -> Iterator[av.VideoFrame]:
    """A shot's frames one after the other; errors are those of `stretch_frames`."""
    with av.open(str(film.path)) as container:
        tick = container.streams.video[0].time_base or Fraction(1, FPS)
    return stretch_frames(Stretch(film, shot.first, shot.end - shot.first, round(shot.first / FPS / tick)))


def find_fault(frames: Frames) -> str | None:
    """Why a clip is of no use: `cut`, `dissolve` (or fade), `blank` (nothing to see), `still`; None if it is of use."""
    pictures = frames.astype(np.float32)
    change = _mean_change(pictures, 1)
    beside = np.pad(change, 1, mode="reflect")
    if (change > 6 + 2 * np.maximum(beside[:-2], beside[2:])).any():
        return "cut"
    if pictures.std(axis=(1, 2)).mean(axis=1).min() < 6:
        return "blank"
    # Half-way through a dissolve the picture is the mean of both ends; in a movement things are elsewhere.
    slow = _mean_change(pictures, 2 * DISSOLVE)
    bend = np.abs(pictures[DISSOLVE:-DISSOLVE] - (pictures[2 * DISSOLVE :] + pictures[: -2 * DISSOLVE]) / 2)
    if ((slow > 8) & (bend.mean(axis=(1, 2, 3)) < 0.2 * slow)).any():
        return "dissolve"
    return "still" if _mean_change(pictures, WINDOW - 1).max() < 1.5 else None


def _mean_change(pictures: NDArray[np.float32], steps: int) -> NDArray[np.float32]:
    """Mean absolute difference between frames `steps` apart: (t - steps,)."""
    return np.abs(pictures[steps:] - pictures[:-steps]).mean(axis=(1, 2, 3))


def keyframes(film: Film) -> Iterator[tuple[int, av.VideoFrame]]:
    """[number, frame] of those that the film's file has whole."""
    with av.open(str(film.path)) as container:
        stream = container.streams.video[0]
        stream.codec_context.thread_count = 1
        stream.codec_context.skip_frame = "NONKEY"
        for frame in container.decode(stream):
            yield round((frame.pts or 0) * (stream.time_base or Fraction(1, FPS)) * FPS), frame
