"""The pipeline's steps on Ray Data, on this machine or on a cluster: streaming, in pools of actors.

Steps on CPUs, decoding among them, share one pool with an actor for each core; networks share another with an actor for
each GPU, and stand in the first where there is none. A worker that dies is started again and gets its item again.
"""

from __future__ import annotations

import logging
import os
import pickle
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from itertools import groupby
from pathlib import Path
from typing import Any

import ray
import torch
from ray.data import ActorPoolStrategy, DataContext, Dataset

from ...batch.runners.ray_pool import ENVIRONMENT, check_address
from .pipeline import Runner
from .work import Step

log = logging.getLogger(__name__)

_PACKAGE = Path(__file__).resolve().parents[2]
_EVERY = 20
"""Items between two lines of the log."""


@contextmanager
def started(address: str | None) -> Iterator[Runner]:
    """A runner on the cluster at an address such as `10.0.0.1:6379`, or on the cores that this process may use.

    Raises:
        ValueError, ConnectionError: there is no cluster at the address.
    """
    os.environ.update(ENVIRONMENT)
    options: dict[str, Any] = {"log_to_driver": False, "logging_level": logging.ERROR}
    if address is None:
        options |= {"address": "local", "num_cpus": len(os.sched_getaffinity(0)), "include_dashboard": False}
    else:
        check_address(address)
        options |= {"address": address, "runtime_env": {"py_modules": [str(_PACKAGE)]}}
    ray.init(**options)
    context = DataContext.get_current()
    context.enable_progress_bars = False
    context.print_on_execution_start = False
    try:
        yield run
    finally:
        ray.shutdown()


def run(steps: Sequence[Step], items: Sequence[Any]) -> None:
    """Call all steps on each item; see `pipeline.Runner`.

    Raises:
        ValueError: a file cannot be used, or cannot be read or written where the step ran.
    """
    resources = ray.cluster_resources()
    gpus, cpus = int(resources.get("GPU", 0)), max(1, int(resources.get("CPU", 1)))
    data: Dataset = ray.data.from_items(
        [{"item": pickle.dumps(item), "error": ""} for item in items], override_num_blocks=len(items)
    )
    worker: Any = _Worker  # Ray's hints know functions only
    groups = [(on_gpu, list(some)) for on_gpu, some in groupby(steps, lambda step: step.on_gpu and gpus > 0)]
    for number, (on_gpu, some) in enumerate(groups, start=1):
        most = min(gpus if on_gpu else cpus, len(items))
        data = data.map(
            worker,
            fn_constructor_args=(some, number == len(groups)),
            num_cpus=0 if on_gpu else 1,
            num_gpus=1 if on_gpu else 0,
            compute=ActorPoolStrategy(min_size=1, max_size=most),
        )
    for done, row in enumerate(data.iter_rows(), start=1):
        if row["error"]:
            raise ValueError(row["error"])
        if done % _EVERY == 0 or done == len(items):
            log.info("%d of %d", done, len(items))


class _Worker:
    """Some steps in one process. Errors go with the rows, for Ray would wrap them in its own."""

    def __init__(self, steps: Sequence[Step], last: bool) -> None:
        self._steps, self._last = steps, last
        self._calls: list[Callable[[Any], Any]] | None = None

    def __call__(self, row: dict[str, Any]) -> dict[str, Any]:
        if row["error"]:
            return row
        try:
            item = self._work(pickle.loads(row["item"]))
        except (ValueError, OSError) as error:
            return {"item": b"", "error": str(error) or type(error).__name__}
        return {"item": b"" if self._last else pickle.dumps(item), "error": ""}

    def _work(self, item: Any) -> Any:
        if self._calls is None:
            torch.set_num_threads(1)
            device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
            self._calls = [step.setup(device) for step in self._steps]
        for call in self._calls:
            item = call(item)
        return item
