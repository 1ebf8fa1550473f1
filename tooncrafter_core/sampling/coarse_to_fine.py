"""Segments longer than the model was trained for: one coarse run over the whole segment, then fine runs between some of
its frames. No run has more frames than the model was trained for, and each has a keyframe at both ends."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from enum import Enum
from itertools import pairwise
from typing import NamedTuple

import torch
from torch import Tensor


class Role(Enum):
    """What a run is to its segment."""

    ONLY = "the whole segment"
    COARSE = "some of its frames, to be keyframes of the fine runs"
    FINE = "the frames between two of these"

    @property
    def ends_clean(self) -> bool:
        """Whether its walk has a `clean_end` in any case, as keyframes are."""
        return self is Role.COARSE

    @property
    def ends_averaged(self) -> bool:
        """Whether its walk has an `averaged_end`: in a run on a run, errors of both add up."""
        return self is not Role.ONLY


DrawRun = Callable[[Sequence[int], Tensor, Role], Tensor]
"""`draw(frames, ends, role) -> latents`: frames (n of them, by their number in the segment) between two keyframes'
latents (2, c, h, w), as (n, c, h, w)."""


class Run(NamedTuple):
    """Which run: of a film's segment, both from 0; its first one is the coarse one."""

    segment: int
    number: int


@dataclass(frozen=True)
class Plan:
    """The runs of one segment of t frames.

    Attributes:
        coarse: the frames of the first run, from 0 to t - 1, spread evenly. Where the segment is no longer than a run
            may be, these are all of it.
        fine: the frames of each further run, in order; neighbours share a frame, which is one of `coarse`.
    """

    coarse: tuple[int, ...]
    fine: tuple[range, ...]

    @property
    def runs(self) -> tuple[Sequence[int], ...]:
        """The frames of each run."""
        return (self.coarse, *self.fine)

    @property
    def shown(self) -> range:
        """Numbers of the runs of whose frames the segment is made: its only one, or its fine ones."""
        return range(min(1, len(self.fine)), len(self.runs))

    @property
    def keyframes(self) -> list[int]:
        """Positions in the coarse run of what the fine runs begin and end with."""
        return [self.coarse.index(joint) for joint in (0, *(span[-1] for span in self.fine))]


def plan_runs(frames: int, trained: int) -> Plan:
    """How a segment is drawn.

    A segment of t frames takes the fewest fine runs that cover it, s = ceil((t - 1) / (trained - 1)). They meet at the
    coarse frames nearest to s equal parts. The coarse run has as many frames as the model was trained for, or the most
    below at which no fine run gets longer than that. Its frames lie evenly in time, those of the result are whole
    numbers: each is half a frame at most from where the coarse run drew it.

    Args:
        frames: t.
        trained: frames of a run at most.

    Raises:
        ValueError: more frames than two levels reach, (trained - 1)^2 + 1.
    """
    if frames <= trained:
        return Plan(tuple(range(frames)), ())
    last, longest = frames - 1, trained - 1
    spans = math.ceil(last / longest)
    if spans > longest:
        raise ValueError(
            f"frames is {frames}; with this model, which was trained for {trained}, a segment has up to "
            f"{longest**2 + 1}. Take fewer, or add a keyframe in between."
        )
    coarse, joints = next(filter(None, (_joined(last, steps, spans, longest) for steps in range(longest, 0, -1))))
    return Plan(coarse, tuple(range(first, last + 1) for first, last in pairwise(joints)))


def _joined(last: int, steps: int, spans: int, longest: int) -> tuple[tuple[int, ...], list[int]] | None:
    """Frames of a coarse run of so many steps, and those at which the fine runs meet; None where one is too long."""
    coarse = tuple(_share(last, step, steps) for step in range(steps + 1))
    joints = [coarse[_share(steps, span, spans)] for span in range(spans + 1)]
    return (coarse, joints) if all(last - first <= longest for first, last in pairwise(joints)) else None


def count_runs(plans: Sequence[Plan]) -> int:
    """Runs of segments with these plans: one for all of them where none has fine runs, else each segment's own."""
    return sum(len(plan.runs) for plan in plans) if is_long(plans) else 1


def shown_runs(plans: Sequence[Plan], segments: Iterable[int]) -> list[Run]:
    """The runs of whose frames some segments are made, see `Plan.shown`."""
    return [Run(segment, number) for segment in segments for number in plans[segment].shown]


def all_runs(plans: Sequence[Plan]) -> Iterator[Run]:
    """Every run of segments with these plans, in the order in which they take their noise."""
    return (Run(segment, number) for segment, plan in enumerate(plans) for number in range(len(plan.runs)))


def is_long(plans: Sequence[Plan]) -> bool:
    """Whether a segment has more than one run, so that each segment is drawn by itself."""
    return any(plan.fine for plan in plans)


def draw_segment(draw: DrawRun, ends: Tensor, plan: Plan) -> Tensor:
    """Draw one segment's latents (t, c, h, w), between those of its keyframes (2, c, h, w)."""
    first = draw_run(draw, plan, 0, ends)
    return join_runs([draw_run(draw, plan, number, first) if number else first for number in plan.shown])


def draw_run(draw: DrawRun, plan: Plan, number: int, keyframes: Tensor) -> Tensor:
    """Draw one run of a segment.

    Args:
        draw: see `DrawRun`.
        plan: the segment's.
        number: of the run.
        keyframes: latents of the segment's ends (2, c, h, w); for a fine run, what came of the coarse one.

    Returns:
        latents of its frames (n, c, h, w); of a coarse run, of the keyframes (s + 1, c, h, w) of its s fine ones
    """
    if number:
        return draw(plan.runs[number], keyframes[number - 1 : number + 1], Role.FINE)
    if not plan.fine:
        return draw(plan.coarse, keyframes, Role.ONLY)
    drawn = draw(plan.coarse, keyframes, Role.COARSE)
    return torch.cat([keyframes[:1].to(drawn), drawn[plan.keyframes[1:-1]], keyframes[1:].to(drawn)])


def join_runs(drawn: Sequence[Tensor]) -> Tensor:
    """A segment's latents (t, c, h, w) from what came of the runs that are `Plan.shown`, see `draw_run`."""
    return torch.cat([*(run[:-1] for run in drawn[:-1]), drawn[-1]])


def guiding_frames(guides: Tensor, frames: Sequence[int]) -> list[int]:
    """Which frame of a segment guides each frame of a run.

    A frame's own guide does, where it has one. A run that leaves frames out takes the nearest guide of those that are
    nearer to this frame than to another of the run.

    Args:
        guides: what is drawn for each frame of the segment (t, ...); black is none.
        frames: of the run, see `Plan`.
    """
    own: dict[int, list[int]] = {frame: [] for frame in frames}
    for guide in range(frames[0], frames[-1] + 1):
        if guides[guide].any():
            own[min(frames, key=lambda frame: abs(frame - guide))].append(guide)
    return [min(own[frame], key=lambda guide: abs(frame - guide), default=frame) for frame in frames]


def _share(total: int, part: int, parts: int) -> int:
    """total * part / parts, rounded; halves up."""
    return (2 * total * part + parts) // (2 * parts)
