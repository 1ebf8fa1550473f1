"""What is to be done for a shot, in pieces that workers take."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from ..sampling.coarse_to_fine import Plan, Run, shown_runs
from .shots.shot import Shot

Part = int | Run
"""What waits on disk until its shot is finished: the frames of a segment, or what came of a run of a long one."""


@dataclass(frozen=True)
class Task:
    """A piece of work.

    Attributes:
        shot: what it is of.
        key: of the shot, see `shot_key`.
        part: draw and keep this one; None draws what is missing and finishes the shot.
        steps: sampling steps it takes, as far as is known before.
    """

    shot: Shot
    key: str
    part: Part | None
    steps: int


Levels = list[list[Task]]
"""A shot's tasks: those of a level can be done beside one another, once all of the level before are done."""


def levels_of(shot: Shot, key: str, plans: Sequence[Plan], has: Callable[[Part], bool]) -> Levels:
    """A shot in pieces: coarse runs that fine ones need, and short segments; fine runs; long segments; the whole shot.

    Args:
        shot: the shot; of its only segment is no task, for what finishes the shot draws that.
        key: of it.
        plans: of each segment.
        has: whether a part is there from an earlier run.
    """
    missing = [segment for segment in range(len(plans)) if not has(segment)]
    long = [segment for segment in missing if plans[segment].fine]
    short = [segment for segment in missing if segment not in long]
    fine = [run for run in shown_runs(plans, long) if not has(run)]
    coarse = [run for run in dict.fromkeys(Run(segment, 0) for segment, _ in fine) if not has(run)]
    steps = shot.settings.steps

    def tasks(parts: Iterable[Part], steps: int) -> list[Task]:
        return [Task(shot, key, part, steps) for part in parts]

    levels = [tasks(coarse, steps), tasks(fine, steps)]
    if len(plans) == 1:
        levels += [[Task(shot, key, None, steps * len(short))]]
    else:
        levels[0] += tasks(short, steps)
        levels += [tasks(long, 0), [Task(shot, key, None, 0)]]
    return [level for level in levels if level]
