"""Servers of ComfyUI as workers: each shot is a prompt of its own."""

from __future__ import annotations

import json
import mimetypes
import time
import urllib.error
import urllib.parse
import urllib.request
import uuid
from collections.abc import Hashable, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from http.client import HTTPException
from io import BytesIO
from pathlib import Path
from threading import Event
from types import TracebackType
from typing import Any, cast

import torch
from PIL import Image
from torch import Tensor

from ...files.images import to_tensor
from ...files.whole import file_digest
from ..results.store import Record, Results
from ..work import Task
from .comfyui_prompt import SHOWN, Prompt, ServerModels, shot_prompt
from .dispatch import Outcome

_MOMENT = 0.5
"""Seconds between two looks."""
_TIMEOUT = 60
"""Seconds that an answer may take; a prompt may take any time."""
_GIVEN_UP = 3
"""Shots in a row that a server gave no answer to, after which it gets no more."""

_OPENER = urllib.request.build_opener(urllib.request.ProxyHandler({}))
"""A proxy for the outside world is not asked for a server in the house."""


class ServerAwayError(OSError):
    """A server that does not answer."""


@dataclass(frozen=True)
class Server:
    """One server of ComfyUI with these nodes.

    Attributes:
        url: such as http://127.0.0.1:8188, without a slash at its end.
    """

    url: str

    @classmethod
    def at(cls, url: str) -> Server:
        """Raises ValueError where that is no address of a server."""
        try:
            address = urllib.parse.urlsplit(url)
            valid = address.scheme in ("http", "https") and address.hostname and (address.port or 1)
        except ValueError:
            valid = None
        if not valid:
            raise ValueError(f"--comfyui is {url}; expected an address such as http://127.0.0.1:8188")
        return cls(url.rstrip("/"))

    def check(self) -> None:
        """Raise ServerAwayError or ValueError unless it answers and has the nodes."""
        try:
            known = self._json("/object_info/ToonCrafterLoader")
        except json.JSONDecodeError as error:
            raise ValueError(f"what answers at {self.url} is not ComfyUI; name the address of its page") from error
        if "ToonCrafterLoader" not in known:
            raise ValueError(f"ComfyUI at {self.url} has no ToonCrafter nodes; install this pack there")

    def upload(self, picture: Path) -> str:
        """Put a picture into the server's input folder under the name of its content, and return that name."""
        name = f"batch-{file_digest(picture)[:32]}{picture.suffix.lower()}"
        boundary, kind = uuid.uuid4().hex, mimetypes.guess_type(name)[0] or "application/octet-stream"
        form = f"--{boundary}\r\nContent-Disposition: form-data; name="
        head = f'{form}"overwrite"\r\n\r\ntrue\r\n{form}"image"; filename="{name}"\r\nContent-Type: {kind}\r\n\r\n'
        body = head.encode() + picture.read_bytes() + f"\r\n--{boundary}--\r\n".encode()
        return str(json.loads(self._ask("/upload/image", body, f"multipart/form-data; boundary={boundary}"))["name"])

    def draw(self, prompt: Prompt, stop: Event) -> Tensor:
        """Run a prompt; its frames (n, 3, H, W) in [0, 1].

        Args:
            prompt: it.
            stop: when this is set, the server is told to leave it.

        Raises:
            ValueError: the server refused it, or a node raised.
            ServerAwayError: it does not answer, or the prompt is no longer in its queue.
            InterruptedError: it was stopped.
        """
        body = json.dumps({"prompt": prompt}).encode()
        run = json.loads(self._ask("/prompt", body, "application/json"))["prompt_id"]
        while not (history := self._json(f"/history/{run}")):
            if not self._has(run) and not self._json(f"/history/{run}"):  # it may have ended in between
                raise ServerAwayError(f"ComfyUI at {self.url} has dropped the prompt; its queue was emptied there")
            if stop.wait(_MOMENT):
                self._leave(run)
                raise InterruptedError("stopped")
        for event, details in history[run]["status"]["messages"]:
            if event in ("execution_error", "execution_interrupted"):
                said = details.get("exception_message", "it was interrupted there").strip()
                raise ValueError(f"{self.url}, node {details.get('node_type')}: {said}")
        return torch.stack([self._picture(image) for image in history[run]["outputs"][SHOWN]["images"]])

    def _has(self, run: str) -> bool:
        """Whether a prompt waits or runs."""
        queue = self._json("/queue")
        return any(run == entry[1] for entries in queue.values() for entry in entries)

    def _leave(self, run: str) -> None:
        """Take a prompt out of the queue, or stop it where it runs."""
        self._ask("/queue", json.dumps({"delete": [run]}).encode())
        if any(run == entry[1] for entry in self._json("/queue")["queue_running"]):
            self._ask("/interrupt", json.dumps({"prompt_id": run}).encode())

    def _picture(self, image: dict[str, str]) -> Tensor:
        return to_tensor(Image.open(BytesIO(self._ask(f"/view?{urllib.parse.urlencode(image)}"))))

    def _json(self, path: str) -> Any:
        return json.loads(self._ask(path))

    def _ask(self, path: str, body: bytes | None = None, kind: str = "application/json") -> bytes:
        request = urllib.request.Request(self.url + path, data=body, headers={"Content-Type": kind})
        try:
            with _OPENER.open(request, timeout=_TIMEOUT) as answer:
                content: bytes = answer.read()
                return content
        except urllib.error.HTTPError as error:
            raise ValueError(f"{self.url} refused {path}: {_refusal(error)}") from error
        except (urllib.error.URLError, TimeoutError, ConnectionError, HTTPException) as error:
            reason = " ".join(str(getattr(error, "reason", error)).split())
            raise ServerAwayError(f"no ComfyUI answers at {self.url} ({reason}); start it, or name another") from error


def _refusal(error: urllib.error.HTTPError) -> str:
    """What ComfyUI says of a prompt that it does not take."""
    text = error.read().decode(errors="replace")
    try:
        answer = json.loads(text)
        nodes = [
            f"{node['class_type']}: {each['message']}: {each['details']}"
            for node in answer["node_errors"].values()
            for each in node["errors"]
        ]
        return "; ".join([answer["error"]["message"], *nodes])
    except (ValueError, KeyError, TypeError, AttributeError):
        return f"status {error.code} {text[:200]}"


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
        uploaded = {str(picture): server.upload(picture) for picture in set(shot.pictures)}
        frames = server.draw(shot_prompt(shot, self.models, uploaded), self._stop)
        shown = shot.retiming.apply(frames, shot.counts)
        record = Record(task.key, len(shown), round(time.perf_counter() - started, 3), server.url)
        self.results.write(shot.name, shown, record)
        return record
