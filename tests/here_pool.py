"""A pool of workers in this process, which take turns."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass, field
from typing import cast

from tooncrafter_core.batch.runners.dispatch import Outcome
from tooncrafter_core.batch.tasks import Task
from tooncrafter_core.batch.work import Worker

Failing = Callable[[Task], BaseException | None]


@dataclass
class HerePool:
    """Each worker has one task at a time; the one that was given first is done first.

    Args:
        workers: who works.
        failing: how a task fails, if it does; a KeyboardInterrupt ends the run before it.
    """

    workers: Sequence[Worker]
    failing: Failing = lambda task: None
    done: list[Task] = field(default_factory=list)
    entered: int = 0
    _given: list[tuple[Worker, Task]] = field(default_factory=list)

    def __enter__(self) -> HerePool:
        self.entered += 1
        return self

    def __exit__(self, *raised: object) -> None:
        pass

    def free(self) -> Sequence[Hashable]:
        return [worker for worker in self.workers if worker not in [busy for busy, _ in self._given]]

    def start(self, worker: Hashable, task: Task) -> None:
        self._given.append((cast(Worker, worker), task))

    def wait(self) -> Sequence[Outcome]:
        worker, task = self._given.pop(0)
        error = self.failing(task)
        if isinstance(error, KeyboardInterrupt):
            raise error
        self.done.append(task)
        if error:
            return [Outcome(task, None, error)]
        try:
            return [Outcome(task, worker.do(task), None)]
        except ValueError as raised:
            return [Outcome(task, None, raised)]

    def steps(self) -> int:
        return 0
