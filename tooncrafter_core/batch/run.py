"""A run: what a list still lacks is drawn, and a report says what came of it."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass

from tqdm import tqdm

from .plan import Plan
from .report import Report
from .results.store import Results
from .runners.dispatch import Dispatch, Pool
from .shots.shot import Shot


def run(shots: Sequence[Shot], results: Results, plan: Plan, pool: Pool) -> Report:
    """Do a plan's tasks and write the report.

    Args:
        shots: the list.
        results: where they go.
        plan: of the list and these results.
        pool: the workers; where there is nothing to do none are started.

    Raises:
        ValueError: no worker can draw at all.
        OSError: likewise, or the report cannot be written.
    """
    started = time.perf_counter()
    with _Bars(plan, len(shots)) as bars:
        dispatch = Dispatch(pool, bars)
        if plan.work:
            with pool:
                dispatch.run(plan.work)
    records, failures = {**plan.kept, **dispatch.records}, {**plan.failures, **dispatch.failures}
    for name, source in plan.twins.items():
        if source in records:
            results.copy(source, name, records[source])
            records[name] = records[source]
        else:
            failures[name] = f"it is the same as {source}: {failures[source]}"
    kept = frozenset([*plan.kept, *plan.twins]) & records.keys()
    report = Report(shots, records, kept, failures, time.perf_counter() - started)
    report.write(results)
    return report


@dataclass
class _Bars:
    """Progress by shot and by sampling step."""

    plan: Plan
    shots: int

    def __enter__(self) -> _Bars:
        ended = len(self.plan.kept) + len(self.plan.failures)
        self._shots = tqdm(total=self.shots, initial=ended, unit="shot", position=0, disable=None)
        self._steps = tqdm(total=sum(task.steps for task in self.plan.tasks), unit="step", position=1, disable=None)
        return self

    def __exit__(self, *raised: object) -> None:
        self._steps.close()
        self._shots.close()

    def steps(self, done: int) -> None:
        """See `Watcher`."""
        self._steps.update(done - self._steps.n)

    def shot(self, name: str, failure: str | None) -> None:
        """See `Watcher`."""
        self._shots.update(1 + sum(source == name for source in self.plan.twins.values()))
