"""What of a list is to be drawn, and what is there already."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from ..sampling.coarse_to_fine import Plan as RunPlan
from ..sampling.coarse_to_fine import plan_runs
from .results.digest import shot_key
from .results.store import Record, Results
from .shots.shot import Shot
from .tasks import Levels, Task, levels_of


@dataclass
class Plan:
    """The work of a run.

    Attributes:
        work: of each shot that is to be drawn.
        kept: records of shots that are drawn already.
        twins: shots that are one of the tasks under another name: name -> the drawn one's.
        failures: shots whose pictures cannot be read.
    """

    work: list[Levels] = field(default_factory=list)
    kept: dict[str, Record] = field(default_factory=dict)
    twins: dict[str, str] = field(default_factory=dict)
    failures: dict[str, str] = field(default_factory=dict)

    @property
    def tasks(self) -> list[Task]:
        """All of the work."""
        return [task for levels in self.work for level in levels for task in level]


def check_lengths(shots: Sequence[Shot], trained: int) -> None:
    """Raise ValueError where a shot has a segment of more frames than a model trained for so many can draw."""
    for shot in shots:
        try:
            _runs_of(shot, trained)
        except ValueError as error:
            raise ValueError(f"shot {shot.name}: {error}") from error


def plan(shots: Sequence[Shot], results: Results, weights: Sequence[str], trained: int, whole: bool) -> Plan:
    """Compare a list with the results.

    A shot that an earlier run drew under another name is copied here and now, as after names that moved on by one.
    Where names changed places, one of their shots is drawn again.

    Args:
        shots: the list, see `check_lengths`.
        results: of earlier runs.
        weights: see `shot_key`.
        trained: frames of a sampling run at most.
        whole: one task for each shot, which is not divided.

    Raises:
        OSError: a copy cannot be written.
        ValueError: a copy would replace what somebody has drawn over.
    """
    made = Plan()
    earlier = dict(results.records())
    known = {record.key: name for name, record in earlier.items()}
    keys: dict[str, str] = {}
    for shot in shots:
        try:
            keys[shot.name] = shot_key(shot, weights)
        except OSError as error:
            made.failures[shot.name] = " ".join(str(error).split())
    wanted = {name: known[key] for name, key in keys.items() if key in known}
    made.kept = _kept(wanted, keys, earlier, results)
    for name in made.kept:
        results.forget_parts(name)
    drawn: dict[str, str] = {}
    for shot in shots:
        if shot.name not in keys or shot.name in made.kept:
            continue
        key = keys[shot.name]
        if key in drawn:
            made.twins[shot.name] = drawn[key]
        else:
            drawn[key] = shot.name
            made.work.append(_levels(shot, key, _runs_of(shot, trained), results, whole))
    return made


def _runs_of(shot: Shot, trained: int) -> list[RunPlan]:
    return [plan_runs(count, trained) for count in shot.counts]


def _kept(
    wanted: Mapping[str, str], keys: Mapping[str, str], earlier: Mapping[str, Record], results: Results
) -> dict[str, Record]:
    """Records of shots that are drawn already, under their names or, from here on, as copies.

    Args:
        wanted: the name under which a result lies, by the shot's.
        keys: by the shot's name.
        earlier: records of earlier runs, by name.
        results: theirs. A copy takes the place of what had its name, so each waits for those made of that.
    """
    kept = {name: earlier[name] for name, key in keys.items() if name in earlier and earlier[name].key == key}
    left = {name: source for name, source in wanted.items() if name not in kept}
    while left:
        name = next((each for each in left if each not in left.values()), "")
        if not name:  # names that changed places
            left.popitem()
            continue
        source = left.pop(name)
        results.copy(source, name, earlier[source])
        kept[name] = earlier[source]
    return kept


def _levels(shot: Shot, key: str, plans: Sequence[RunPlan], results: Results, whole: bool) -> Levels:
    if whole:
        return [[Task(shot, key, None, shot.settings.steps * sum(len(plan.runs) for plan in plans))]]
    return levels_of(shot, key, plans, results.parts(shot.name, key).has)
