"""Workers on Ray: an actor for each device, here or on the machines of a cluster.

Ray is optional: `scripts/requirements/ray.txt`.
"""

from __future__ import annotations

import logging
import os
import socket
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from types import TracebackType
from typing import Any, cast

from ..results.store import Record
from ..tasks import Task
from ..work import Worker
from .dispatch import Outcome, WorkerLostError

ENVIRONMENT = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",  # a warning that is of no use here
    "RAY_worker_niceness": "0",  # by default workers give way to everything else
}
"""Set before Ray is started."""
_STORE = 80 << 20
"""Bytes of Ray's object store: nothing but tasks and records goes through it."""
_PROJECT = Path(__file__).resolve().parents[3]
_SHORT = "/tmp"
"""Where Ray's sockets go: a system takes names of about 100 letters."""
_MOMENT = 0.5
"""Seconds between two looks at the progress."""
_PATIENCE = 5
"""Seconds for a cluster to take a connection."""
_FALSE_STARTS = 5
"""Workers lost in a row before one has its model."""


def check_address(address: str) -> None:
    """Raise ValueError where nobody listens at HOST:PORT, for which Ray itself would wait minutes; other addresses are
    Ray's to read."""
    host, _, port = address.rpartition(":")
    if not host or "/" in host or not port.isdecimal():
        return
    try:
        socket.create_connection((host.strip("[]"), int(port)), _PATIENCE).close()
    except (OSError, OverflowError) as error:
        raise _no_cluster(address, error) from error


def _no_cluster(address: str, error: Exception) -> ValueError:
    return ValueError(
        f"no Ray cluster answers at {address}; expected the address that `ray start --head` told, such as "
        f"192.168.0.10:6379, and the same version of Ray and Python. It said: {error}"
    )


def check_ray() -> None:
    """Raise ValueError where Ray is not installed."""
    if find_spec("ray") is None:
        raise ValueError(
            "batch needs Ray, which is not installed: pip install -r scripts/requirements/ray.txt, or name servers of "
            "ComfyUI with --comfyui"
        )


@dataclass(frozen=True)
class Cluster:
    """Where workers run.

    Attributes:
        address: of a running cluster; None starts one on this machine, which ends with the pool.
        workers: how many; None is one for each graphics card, or one for each machine where there are none.
    """

    address: str | None = None
    workers: int | None = None


class _Actor:
    """A worker in its own process. Steps are asked for while a task is done: it answers two calls at a time."""

    def __init__(self, make: Callable[[], Worker]) -> None:
        self._make = make
        self._worker: Worker | None = None

    def open(self) -> None:
        self._worker = self._make()

    def do(self, task: Task) -> Record | None:
        return cast(Worker, self._worker).do(task)

    def steps(self) -> int:
        return self._worker.steps if self._worker is not None else 0


@dataclass
class RayPool:
    """A pool of actors; a lost one is replaced.

    Args:
        cluster: where.
        make: makes a worker in its process, told whether it has a graphics card.
        here: graphics cards of this machine, for a cluster that is started here.
    """

    cluster: Cluster
    make: Callable[[bool], Worker]
    here: int = 0
    _opening: dict[Any, Any] = field(default_factory=dict)
    """Ray's reference -> the actor."""
    _drawing: dict[Any, tuple[Any, Task]] = field(default_factory=dict)
    _asked: dict[Any, Any] = field(default_factory=dict)
    _steps: dict[Any, int] = field(default_factory=dict)
    _free: list[Any] = field(default_factory=list)
    _false_starts: int = 0
    _options: dict[str, Any] = field(default_factory=dict)
    """What an actor asks of the cluster."""
    _scratch: tempfile.TemporaryDirectory[str] | None = None

    def __enter__(self) -> RayPool:
        check_ray()
        self._connect()
        try:
            for _ in range(self._places()):
                self._spawn()
        except BaseException:
            self._disconnect()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._disconnect()

    def free(self) -> Sequence[Any]:
        return list(self._free)

    def start(self, worker: Any, task: Task) -> None:
        self._free.remove(worker)
        self._drawing[worker.do.remote(task)] = worker, task

    def wait(self) -> Sequence[Outcome]:
        import ray

        references = [*self._opening, *self._drawing]
        ready, _ = ray.wait(references, num_returns=1, timeout=_MOMENT) if references else ([], [])
        if not ready:
            self._ask()
        return [outcome for reference in ready for outcome in self._ended(reference)]

    def steps(self) -> int:
        return sum(self._steps.get(worker, 0) for worker, _ in self._drawing.values())

    def _ended(self, reference: Any) -> list[Outcome]:
        """What came of a call that is over."""
        import ray
        from ray.exceptions import RayError, RayTaskError

        opened = self._opening.pop(reference, None)
        worker, task = self._drawing.pop(reference, (opened, None))
        self._steps.pop(worker, None)
        try:
            record = ray.get(reference)
        except RayTaskError as error:
            cause = error.cause if isinstance(error.cause, BaseException) else error
            if task is None:
                raise cause from None
            self._free.append(worker)
            return [Outcome(task, None, cause)]
        except RayError as error:
            ray.kill(worker)  # one that is out of reach only would come back
            self._lost(opened is not None, error)
            return [] if task is None else [Outcome(task, None, _lost_error(error))]
        self._free.append(worker)
        self._false_starts = 0
        return [] if task is None else [Outcome(task, record, None)]

    def _lost(self, opening: bool, error: Exception) -> None:
        """Replace a worker; ValueError where none comes so far as to have its model."""
        self._false_starts += opening
        if self._false_starts >= _FALSE_STARTS:
            raise ValueError(
                f"{_FALSE_STARTS} workers in a row were lost before they had their model. If there was too little "
                f"memory, take fewer --workers. Ray says: {error}"
            )
        self._spawn()

    def _ask(self) -> None:
        """Ask the workers how far they are, and take the answers to what was asked before."""
        import ray
        from ray.exceptions import RayError

        answered, _ = ray.wait(list(self._asked), num_returns=len(self._asked), timeout=0) if self._asked else ([], [])
        for reference in answered:
            worker = self._asked.pop(reference)
            try:
                self._steps[worker] = ray.get(reference)
            except RayError:  # it is lost, which its task says too
                self._steps.pop(worker, None)
        waiting = set(self._asked.values())
        for worker, _ in self._drawing.values():
            if worker not in waiting:
                self._asked[worker.steps.remote()] = worker

    def _connect(self) -> None:
        os.environ.update(ENVIRONMENT)
        import ray

        quiet: dict[str, Any] = {"log_to_driver": False, "logging_level": logging.ERROR}
        quiet["runtime_env"] = {"env_vars": {"PYTHONPATH": os.pathsep.join(_own_paths())}}
        if self.cluster.address is not None:
            try:
                ray.init(address=self.cluster.address, **quiet)
            except (ConnectionError, RuntimeError, ValueError) as error:
                raise _no_cluster(self.cluster.address, error) from error
            return
        short = _SHORT if Path(_SHORT).is_dir() else None
        self._scratch = tempfile.TemporaryDirectory(prefix="batch-", dir=short, ignore_cleanup_errors=True)
        ray.init(
            num_cpus=self.cluster.workers or 1,
            num_gpus=self.here,
            include_dashboard=False,
            object_store_memory=_STORE,
            _temp_dir=self._scratch.name,
            **quiet,
        )

    def _disconnect(self) -> None:
        import ray

        for worker in {*self._opening.values(), *(worker for worker, _ in self._drawing.values()), *self._free}:
            ray.kill(worker)
        ray.shutdown()
        if self._scratch is not None:
            self._scratch.cleanup()

    def _places(self) -> int:
        """How many workers there will be, once the cluster is known to have places for them.

        Raises:
            ValueError: it has not.
        """
        import ray

        resources = ray.cluster_resources()
        cards, cores = int(resources.get("GPU", 0)), int(resources.get("CPU", 0))
        workers = self.cluster.workers or cards or sum(1 for node in ray.nodes() if node["Alive"])
        places, unit = (cards, "graphics card(s)") if cards else (cores, "core(s)")
        if workers > places:
            raise ValueError(f"{workers} workers, but Ray has {places} {unit} for them; take fewer --workers")
        self._options = {"num_gpus": int(cards > 0), "num_cpus": int(cards == 0), "scheduling_strategy": "SPREAD"}
        return workers

    def _spawn(self) -> None:
        import ray

        actor: Any = ray.remote(_Actor).options(max_concurrency=2, **self._options)
        worker = actor.remote(partial(self.make, bool(self._options["num_gpus"])))
        self._opening[worker.open.remote()] = worker


def _own_paths() -> list[str]:
    """Where this process finds modules beside Python's own folders, so that workers find the same."""
    paths = [str(Path(path or ".").absolute()) for path in sys.path]
    own = [path for path in paths if not Path(path).is_relative_to(sys.prefix)]
    return [str(_PROJECT), *(path for path in own if not Path(path).is_relative_to(sys.base_prefix))]


def _lost_error(error: Exception) -> WorkerLostError:
    return WorkerLostError(f"its worker was lost: {str(error).splitlines()[0]}")
