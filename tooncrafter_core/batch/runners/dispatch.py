"""Hands tasks to workers until every shot is drawn or has failed."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass, field
from types import TracebackType
from typing import NamedTuple, Protocol

from ..results.store import Record
from ..tasks import Levels, Part, Task

ATTEMPTS = 5
"""How often a task is begun at most."""


class WorkerLostError(Exception):
    """A worker was lost while it drew."""


class Outcome(NamedTuple):
    """How a task ended: with a record if it finished its shot, or with an error."""

    task: Task
    record: Record | None
    error: BaseException | None


class Pool(Protocol):
    """Workers, each with one task at a time. A context: workers go with it."""

    def __enter__(self) -> Pool: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...

    def free(self) -> Sequence[Hashable]:
        """Those that wait for work; ValueError or OSError where none can ever come."""

    def start(self, worker: Hashable, task: Task) -> None:
        """Give a free worker a task."""

    def wait(self) -> Sequence[Outcome]:
        """What has ended, after a moment at most."""

    def steps(self) -> int:
        """Sampling steps done of the tasks that run."""


class Watcher(Protocol):
    """Is told how far the work is."""

    def steps(self, done: int) -> None:
        """Of all sampling steps."""

    def shot(self, name: str, failure: str | None) -> None:
        """One has ended."""


@dataclass
class _Open:
    """A shot that is not finished: how many tasks of its present level are not done, and the levels after it."""

    undone: int
    later: Levels


@dataclass
class Dispatch:
    """The tasks of shots, each of which is tried again where that may help.

    Args:
        pool: the workers.
        watcher: is told of the progress.
    """

    pool: Pool
    watcher: Watcher
    records: dict[str, Record] = field(default_factory=dict)
    failures: dict[str, str] = field(default_factory=dict)
    _queue: deque[Task] = field(default_factory=deque)
    _open: dict[str, _Open] = field(default_factory=dict)
    _attempts: Counter[tuple[str, Part | None]] = field(default_factory=Counter)
    _running: int = 0
    _done: int = 0

    def run(self, work: Iterable[Levels]) -> None:
        """Do all tasks of some shots.

        Raises:
            ValueError: no worker can draw at all.
            OSError: likewise.
        """
        for first, *later in work:
            self._open[first[0].shot.name] = _Open(len(first), later)
            self._queue.extend(first)
        while self._queue or self._running:
            for worker in self.pool.free():
                if self._queue:
                    self._running += 1
                    self.pool.start(worker, self._queue.popleft())
            for outcome in self.pool.wait():
                self._running -= 1
                self._take(outcome)
            self.watcher.steps(self._done + self.pool.steps())

    def _take(self, outcome: Outcome) -> None:
        task, name = outcome.task, outcome.task.shot.name
        if name not in self._open:  # another part of it has failed
            return
        if outcome.error is not None:
            self._again_or_never(task, outcome.error)
            return
        self._done += task.steps
        if outcome.record is not None:
            self.records[name] = outcome.record
        self._open[name].undone -= 1
        if not self._open[name].undone:
            self._level_done(name)

    def _level_done(self, name: str) -> None:
        """Put a shot's next level before everything else; after its last one it is finished."""
        shot = self._open[name]
        if not shot.later:
            self._close(name, None)
            return
        level, *shot.later = shot.later
        shot.undone = len(level)
        self._queue.extendleft(reversed(level))

    def _again_or_never(self, task: Task, error: BaseException) -> None:
        attempt = task.shot.name, task.part
        self._attempts[attempt] += 1
        if may_pass(error) and self._attempts[attempt] < ATTEMPTS:
            self._queue.append(task)
            return
        tried = f" (tried {self._attempts[attempt]} times)" if self._attempts[attempt] > 1 else ""
        self._close(task.shot.name, f"{message(error)}{tried}")

    def _close(self, name: str, failure: str | None) -> None:
        del self._open[name]
        if failure is not None:
            self.failures[name] = failure
            self._queue = deque(task for task in self._queue if task.shot.name != name)
        self.watcher.shot(name, failure)


def may_pass(error: BaseException) -> bool:
    """Whether the same task may do another time: a worker was lost, or a disk or a network failed."""
    return isinstance(error, WorkerLostError | OSError) and not isinstance(error, FileNotFoundError)


def message(error: BaseException) -> str:
    """What is said of an error, in one line; of one that is nobody's mistake with its kind."""
    text = " ".join(str(error).split())
    return text if isinstance(error, ValueError | OSError | WorkerLostError) else f"{type(error).__name__}: {text}"
