"""Servers of ComfyUI as workers: each shot is a prompt of its own."""

from __future__ import annotations

import time
import urllib.parse
from collections.abc import Hashable, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from io import BytesIO
from pathlib import Path
from threading import Event
from types import TracebackType
from typing import cast

import torch
from PIL import Image
from torch import Tensor

from ...files.images import to_tensor
from ...files.whole import file_digest
from ..results.store import Record, Results
from ..tasks import Task
from .comfyui_prompt import SHOWN, Prompt, ServerModels, shot_prompt
from .comfyui_server import ENDED_BADLY, Server, ServerAwayError
from .dispatch import Outcome

_MOMENT = 0.5
"""Seconds between two looks."""
_GIVEN_UP = 3
"""Shots in a row that a server gave no answer to, after which it gets no more."""


def upload(server: Server, picture: Path) -> str:
    """Put a picture into a server's input folder under the name of its content, and return that name."""
    return server.upload(picture, f"batch-{file_digest(picture)[:32]}{picture.suffix.lower()}", overwrite=True)


def draw(server: Server, prompt: Prompt, stop: Event) -> Tensor:
    """Run a prompt; its frames (n, 3, H, W) in [0, 1].

    Args:
        server: where.
        prompt: it.
        stop: when this is set, the server is told to leave it.

    Raises:
        ValueError: the server refused it, or a node raised.
        ServerAwayError: it does not answer, or the prompt is no longer in its queue.
        InterruptedError: it was stopped.
    """
    run = server.queue(prompt)
    while (ended := server.history(run)) is None:
        if not server.has(run) and server.history(run) is None:  # it may have ended in between
            raise ServerAwayError(f"ComfyUI at {server.url} has dropped the prompt; its queue was emptied there")
        if stop.wait(_MOMENT):
            server.leave(run)
            raise InterruptedError("stopped")
    for event, details in ended["status"]["messages"]:
        if event in ENDED_BADLY:
            said = details.get("exception_message", "it was interrupted there").strip()
            raise ValueError(f"{server.url}, node {details.get('node_type')}: {said}")
    return torch.stack([_picture(server, image) for image in ended["outputs"][SHOWN]["images"]])


def _picture(server: Server, image: dict[str, str]) -> Tensor:
    return to_tensor(Image.open(BytesIO(server.ask(f"/view?{urllib.parse.urlencode(image)}"))))


@dataclass
class ComfyUIPool:
    """A pool of servers, which draw whole shots; what came of them is retimed and written here.

    Args:
        servers: where.
        models: as the servers call them.
        results: where the frames go.
    """

    servers: Sequence[Server]
    models: ServerModels
    results: Results
    _running: dict[Future[Record], tuple[Server, Task]] = field(default_factory=dict)
    _silent: dict[Server, int] = field(default_factory=dict)
    """Shots in a row that a server gave no answer to."""
    _stop: Event = field(default_factory=Event)

    def __enter__(self) -> ComfyUIPool:
        for server in self.servers:
            server.check()
        self._silent = dict.fromkeys(self.servers, 0)
        self._threads = ThreadPoolExecutor(len(self.servers))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        self._threads.shutdown(wait=False, cancel_futures=True)

    def free(self) -> Sequence[Server]:
        alive = [server for server, silent in self._silent.items() if silent < _GIVEN_UP]
        if not alive and not self._running:
            raise ServerAwayError(f"no ComfyUI answers any more at {', '.join(server.url for server in self.servers)}")
        busy = {server for server, _ in self._running.values()}
        return [server for server in alive if server not in busy]

    def start(self, worker: Hashable, task: Task) -> None:
        server = cast(Server, worker)
        self._running[self._threads.submit(self._draw, server, task)] = server, task

    def wait(self) -> Sequence[Outcome]:
        done, _ = wait(self._running, timeout=_MOMENT, return_when=FIRST_COMPLETED)
        return [self._ended(future) for future in done]

    def steps(self) -> int:
        return 0  # ComfyUI tells them to the page only

    def _ended(self, future: Future[Record]) -> Outcome:
        server, task = self._running.pop(future)
        error = future.exception()
        self._silent[server] = self._silent[server] + 1 if isinstance(error, ServerAwayError) else 0
        return Outcome(task, None if error else future.result(), error)

    def _draw(self, server: Server, task: Task) -> Record:
        started, shot = time.perf_counter(), task.shot
        uploaded = {str(picture): upload(server, picture) for picture in set(shot.pictures)}
        frames = draw(server, shot_prompt(shot, self.models, uploaded), self._stop)
        shown = shot.retiming.apply(frames, shot.counts)
        record = Record(task.key, len(shown), round(time.perf_counter() - started, 3), server.url)
        self.results.write(shot.name, shown, record)
        return record
