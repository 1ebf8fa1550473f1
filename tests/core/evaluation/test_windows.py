"""Which clips the report takes, and what tells their windows apart."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from tooncrafter_core.evaluation.report.windows import (
    FRAMES,
    LARGE_MOTION,
    Window,
    in_order,
    take_windows,
)
from tooncrafter_core.training.clips.manifest import Clip
from tooncrafter_core.training.clips.stream import Sample

VIDEO = torch.randint(256, (FRAMES, 3, 8, 8), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
WINDOW = Window("a", "a", "a square", 12, 40.0, seed=1, video=VIDEO)


def clips(**counts: int) -> list[Clip]:
    """So many held-out toon clips of each source."""
    return [
        Clip(Path(f"/set/{source}{i}"), 24.0, source, "held_out", source, "toon", 3.0)
        for source, count in counts.items()
        for i in range(count)
    ]


def test_one_clip_of_each_source_comes_first() -> None:
    given = clips(a=3, b=1, c=2)
    others = [replace(given[0], split="train"), replace(given[0], domain="film")]
    ordered = in_order([*given, *others], "toon", 0, Path("/set"))
    assert sorted(clip.path for clip in ordered) == sorted(clip.path for clip in given)
    assert [{clip.source for clip in ordered[i:j]} for i, j in ((0, 3), (3, 5), (5, 6))] == [
        {"a", "b", "c"},
        {"a", "c"},
        {"a"},
    ]


def test_the_order_depends_on_the_seed_alone() -> None:
    given = clips(**{f"s{i}": 2 for i in range(10)})
    moved = [replace(clip, path=Path("/elsewhere") / clip.path.name) for clip in reversed(given)]

    def names(clips_: list[Clip], seed: int, folder: str) -> list[str]:
        return [clip.path.name for clip in in_order(clips_, "toon", seed, Path(folder))]

    assert names(given, 0, "/set") == names(moved, 0, "/elsewhere")
    assert names(given, 0, "/set") != names(given, 1, "/set")


def test_a_domain_without_clips_is_refused() -> None:
    with pytest.raises(ValueError, match="no held-out film clips"):
        in_order(clips(a=1), "film", 0, Path("/set"))


def test_unreadable_clips_are_replaced_and_counted() -> None:
    given = clips(a=1, b=1, c=1, d=1)
    seeds: list[int] = []

    def draw(clip: Clip, seed: int) -> Sample | None:
        seeds.append(seed)
        return None if clip.source == "b" else Sample(VIDEO, 12.4, clip.caption, 0, False, 0, 1)

    windows, skipped = take_windows(given, 2, draw, Path("/set"), seed=0)
    assert [w.name for w in windows] == ["a0", "c0"] and skipped == 1
    assert windows[0].fps == 12 and windows[0].caption == "a"
    assert len(set(seeds)) == 3, "each clip has its own seed"


def test_large_motion_begins_at_the_threshold() -> None:
    assert replace(WINDOW, motion=LARGE_MOTION).moves_far and not replace(WINDOW, motion=LARGE_MOTION - 0.01).moves_far


def test_a_window_is_told_by_what_the_model_is_given() -> None:
    one = WINDOW
    assert one.identity == replace(one, motion=0.0).identity
    others = [
        replace(one, seed=2),
        replace(one, caption="b"),
        replace(one, video=255 - one.video),
        replace(one, fps=24),
    ]
    assert len({other.identity for other in [one, *others]}) == 5
