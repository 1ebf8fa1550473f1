"""What of a list is to be drawn, and what is there already."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from ..sampling.coarse_to_fine import count_runs, plan_runs
from .results.digest import shot_key
from .results.store import Record, Results
from .runners.dispatch import tasks_of
from .shots.shot import Shot
from .work import Task


@dataclass
class Plan:
    """The work of a run.

    Attributes:
        tasks: to be done.
        kept: records of shots that are drawn already.
        twins: shots that are one of the tasks under another name: name -> the drawn one's.
        failures: shots whose pictures cannot be read.
    """

    tasks: list[Task] = field(default_factory=list)
    kept: dict[str, Record] = field(default_factory=dict)
    twins: dict[str, str] = field(default_factory=dict)
    failures: dict[str, str] = field(default_factory=dict)


def plan(shots: Sequence[Shot], results: Results, weights: Sequence[str], trained: int, whole: bool) -> Plan:
    """Compare a list with the results.

    A shot that an earlier run drew under another name is copied here and now.

    Args:
        shots: the list.
        results: of earlier runs.
        weights: see `shot_key`.
        trained: frames of a sampling run at most.
        whole: one task for each shot, not one for each segment.

    Raises:
        OSError: a copy cannot be written.
    """
    made = Plan()
    known = {record.key: name for name, record in results.records()}
    drawn: dict[str, str] = {}
    for shot in shots:
        try:
            key, steps = shot_key(shot, weights), _steps(shot, trained)
        except (OSError, ValueError) as error:
            made.failures[shot.name] = " ".join(str(error).split())
            continue
        record = results.record(shot.name)
        if record is not None and record.key == key:
            made.kept[shot.name] = record
        elif key in drawn:
            made.twins[shot.name] = drawn[key]
        elif key in known and (record := results.record(known[key])):
            results.copy(known[key], shot.name, record)
            made.kept[shot.name] = record
        else:
            drawn[key] = shot.name
            task = Task(shot, key, None, sum(steps.values()))
            kept = [segment for segment in steps if results.has_part(key, segment)]
            made.tasks += [task] if whole else tasks_of(task, steps, kept)
    return made


def _steps(shot: Shot, trained: int) -> dict[int, int]:
    """Sampling steps of each segment."""
    plans = [plan_runs(count, trained) for count in shot.counts]
    return {segment: shot.settings.steps * count_runs([each]) for segment, each in enumerate(plans)}
