"""A study for people: two films of one clip side by side, which is better?"""

from __future__ import annotations

import json
import math
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path
from string import Template
from typing import Any

from ..clips import Clip
from ..report.windows import digest

_TEMPLATE = Path(__file__).with_name("study.html")


@dataclass(frozen=True)
class Trial:
    """One question."""

    clip: str
    left: str
    right: str


def draw_trials(clips: Sequence[str], methods: Sequence[str], count: int, seed: int) -> list[Trial]:
    """Pairs of methods on clips, in an order and on sides that the seed decides.

    Every pair of methods comes equally often, to within one; a pair comes again with another clip until all had it.
    """
    dice = random.Random(seed)
    decks = {pair: dice.sample(clips, len(clips)) for pair in combinations(methods, 2)}
    dealt = [
        (clip, pair)
        for clips_left in zip(*decks.values(), strict=True)
        for clip, pair in zip(clips_left, decks, strict=True)
    ]
    trials = [Trial(clip, *dice.sample(pair, 2)) for clip, pair in dealt[:count]]
    dice.shuffle(trials)
    return trials


def columns_of(frames: int) -> int:
    """Frames in a row of a film's picture: nearly as many as rows, so that no side gets too long for a browser."""
    return math.ceil(math.sqrt(frames))


def study_page(trials: Sequence[Trial], clips: Sequence[Clip], film: Callable[[str, str], str]) -> str:
    """The page; `film` names the picture with all frames of a clip by a method."""
    by_name = {clip.name: clip for clip in clips}
    shown = [_trial(trial, by_name[trial.clip], film) for trial in trials]
    study = {"id": digest(shown)[:12], "trials": shown}
    text = json.dumps(study, ensure_ascii=False).replace("<", "\\u003c")  # nothing in it ends the script element
    return Template(_TEMPLATE.read_text(encoding="utf-8")).substitute(study=text)


def _trial(trial: Trial, clip: Clip, film: Callable[[str, str], str]) -> dict[str, Any]:
    sides = {side: getattr(trial, side) for side in ("left", "right")}
    return {
        "clip": clip.name,
        "frames": len(clip.files),
        "columns": columns_of(len(clip.files)),
        "fps": clip.fps,
        **{side: {"method": method, "film": film(clip.name, method)} for side, method in sides.items()},
    }
