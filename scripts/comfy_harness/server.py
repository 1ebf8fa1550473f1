"""A real ComfyUI server for the tests and the demo, started with this pack and always shut down again."""

from __future__ import annotations

import atexit
import logging
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any

import psutil

from tooncrafter_core.batch.runners.comfyui_server import (
    ENDED_BADLY,
    RefusedError,
    Server,
    ServerAwayError,
    node_errors,
)

from .placing import place
from .processes import die_with_parent, end, signal_group

Json = dict[str, Any]

ROOT = Path(__file__).resolve().parents[2]
COMFY_MAIN = Path(__file__).with_name("main.py")
PACK_NAME = "ComfyUI-ToonCrafter"
FOLDERS = ("custom_nodes", "models", "input", "output", "temp", "user")
POLL_SECONDS = 0.05
# Threads that wait for each other by spinning make a server on a shared machine many times slower.
SERVER_ENVIRONMENT = {"PYTHONUNBUFFERED": "1", "OMP_WAIT_POLICY": "PASSIVE"}
LOG_TAIL_LINES = 60

log = logging.getLogger(__name__)


class ServerFailed(Exception):
    """The server did not start, or ended while it was needed; the message holds the end of its log."""


class PromptRejected(ValueError):
    """ComfyUI refused a prompt, or a part of it, before running it."""

    def __init__(self, answer: Json) -> None:
        self.error: Json = answer.get("error") or {}
        self.node_errors: Json = answer.get("node_errors") or {}
        summary = self.error.get("message", "part of the prompt is invalid")
        super().__init__("\n".join([summary, *self._lines()]))

    def _lines(self) -> Iterator[str]:
        for node_id, kind, what in node_errors({"node_errors": self.node_errors}):
            yield f"node {node_id} ({kind}): {what}"


class PromptFailed(Exception):
    """A node raised while the prompt ran, or the prompt was interrupted."""

    def __init__(self, event: str, details: Json) -> None:
        self.interrupted = event == "execution_interrupted"
        self.node_id: str = details["node_id"]
        self.node_type: str = details["node_type"]
        self.exception_type: str = details.get("exception_type", "")
        self.exception_message: str = details.get("exception_message", "interrupted").strip()
        self.traceback: str = "".join(details.get("traceback", []))
        what = f"{self.exception_type}: {self.exception_message}" if self.exception_type else "interrupted"
        super().__init__(f"node {self.node_id} ({self.node_type}): {what}")


class ComfyServer:
    """ComfyUI on a free loopback port, on the CPU, with this project as a custom node.

    Use it as a context manager. `base` is ComfyUI's base directory, by default a new temporary one that is
    removed afterwards. `models` maps paths below its models folder ("checkpoints/x.safetensors") to the files
    to be found there, `nodes` are files of further custom nodes. `pack` is the folder of the custom node.
    """

    def __init__(
        self,
        base: Path | None = None,
        *,
        models: Mapping[str, Path] | None = None,
        nodes: Sequence[Path] = (),
        pack: Path = ROOT,
        arguments: Sequence[str] = ("--cpu",),
        environment: Mapping[str, str] | None = None,
        start_timeout: float = 180,
    ) -> None:
        self._owns_base = base is None
        self.base = Path(tempfile.mkdtemp(prefix="tooncrafter-")) if base is None else base.absolute()
        self.log_path = self.base / "server.log"
        self._models = dict(models or {})
        self._nodes = list(nodes)
        self._pack = pack
        self._arguments = list(arguments)
        self._environment = dict(environment or {})
        self._start_timeout = start_timeout
        self._process: subprocess.Popen[bytes] | None = None
        self.port = _free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self._asked = Server(self.url)

    def __enter__(self) -> ComfyServer:
        atexit.register(self.stop)
        try:
            self._fill_base()
            self._start()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()

    def stop(self) -> None:
        """End the server with everything it started, and remove a temporary base directory."""
        atexit.unregister(self.stop)
        if self._process is not None:
            end(self._process)
            self._process = None
            log.info("ComfyUI has ended")
        if self._owns_base:
            shutil.rmtree(self.base, ignore_errors=True)

    def object_info(self) -> Json:
        """Every node the server knows, by its name."""
        nodes: Json = self.get_json("/object_info")
        return nodes

    def queue(self, prompt: Json) -> str:
        """Queue a prompt in API form and return its id; PromptRejected if any part of it is invalid."""
        try:
            return self._asked.queue(prompt)
        except RefusedError as refusal:
            if not refusal.answer:
                raise
            raise PromptRejected(refusal.answer) from None

    def run(self, prompt: Json, timeout: float = 300) -> Json:
        """Run a prompt to its end and return its history entry."""
        return self.wait(self.queue(prompt), timeout)

    def wait(self, prompt_id: str, timeout: float = 300) -> Json:
        """Wait for a queued prompt and return its history entry; PromptFailed if it did not succeed."""
        self._wait_until(lambda: self._asked.history(prompt_id) is not None, timeout, "the prompt to end")
        entry: Json = self._asked.history(prompt_id) or {}
        for event, details in entry["status"]["messages"]:
            if event in ENDED_BADLY:
                raise PromptFailed(event, details)
        return entry

    def outputs(self, history: Json) -> list[Path]:
        """The files a finished prompt wrote to ComfyUI's output and temp folders."""
        return [
            self.base / item["type"] / item["subfolder"] / item["filename"]
            for node in history["outputs"].values()
            for items in node.values()
            for item in items
            if isinstance(item, dict) and item.get("type") in ("output", "temp")
        ]

    def upload(self, path: Path) -> str:
        """Put a picture into ComfyUI's input folder as the page does, and return the name to load it by."""
        return self._asked.upload(path, path.name)

    def interrupt(self, prompt_id: str | None = None) -> None:
        """Ask the running prompt to stop, as the page's button does; or this one, if it is running."""
        self.post_json("/interrupt", {} if prompt_id is None else {"prompt_id": prompt_id})

    def wait_for_start(self, prompt_id: str, timeout: float = 300) -> None:
        """Wait until a queued prompt runs, or has run."""

        def started() -> bool:
            waiting = self.get_json("/queue")["queue_pending"]
            return all(prompt_id != entry[1] for entry in waiting)

        self._wait_until(started, timeout, "the prompt to start")

    def memory(self) -> int:
        """Bytes of main memory that are the server's own: without the pages of mapped files."""
        assert self._process is not None
        used = psutil.Process(self._process.pid).memory_info()
        return int(used.rss - getattr(used, "shared", 0))

    def kill(self) -> None:
        """End the server as a power cut does; what it has written stays."""
        assert self._process is not None
        signal_group(self._process, getattr(signal, "SIGKILL", signal.SIGTERM))
        self._process.wait()

    def free(self) -> None:
        """Have the server unload its models and forget its cached results.

        It does so before or after the next prompt, whichever comes first: the one that is run here.
        """
        self.post_json("/free", {"unload_models": True, "free_memory": True})
        blank = {"class_type": "EmptyImage", "inputs": {"width": 8, "height": 8, "batch_size": 1, "color": 0}}
        self.run({"blank": blank, "shown": {"class_type": "PreviewImage", "inputs": {"images": ["blank", 0]}}})

    def log_text(self) -> str:
        """All that the server has written so far."""
        return self.log_path.read_text(encoding="utf-8", errors="replace") if self.log_path.exists() else ""

    def get_json(self, path: str) -> Any:
        """The parsed answer to a GET of one of the server's paths."""
        return self._asked.json(path)

    def post_json(self, path: str, value: Json) -> Any:
        """The parsed answer to a POST of `value`, or None where the answer is empty."""
        return self._asked.json(path, value)

    def _fill_base(self) -> None:
        for folder in FOLDERS:
            (self.base / folder).mkdir(parents=True, exist_ok=True)
        place(self._pack, self.base / "custom_nodes" / PACK_NAME)
        for file in self._nodes:
            place(file, self.base / "custom_nodes" / file.name)
        for name, source in self._models.items():
            place(source, self.base / "models" / name)

    def _start(self) -> None:
        command = [sys.executable, str(COMFY_MAIN), *self._arguments]
        command += ["--base-directory", str(self.base), "--database-url", "sqlite:///:memory:"]
        command += ["--listen", "127.0.0.1", "--port", str(self.port), "--disable-auto-launch"]
        started = time.monotonic()
        with self.log_path.open("wb") as output:
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env={**os.environ, **SERVER_ENVIRONMENT, **self._environment},
                start_new_session=True,
                preexec_fn=die_with_parent if sys.platform == "linux" else None,
            )
        self._wait_until(self._answers, self._start_timeout, "ComfyUI to start")
        log.info("ComfyUI answers at %s after %.1f seconds", self.url, time.monotonic() - started)

    def _answers(self) -> bool:
        with suppress(ServerAwayError):
            self._asked.ask("/system_stats")
            return True
        return False

    def _wait_until(self, condition: Callable[[], bool], timeout: float, what: str) -> None:
        """Poll until the condition holds; fail at once when the server has ended."""
        deadline = time.monotonic() + timeout
        while True:
            if self._process is None or self._process.poll() is not None:
                raise ServerFailed(f"ComfyUI ended while waiting for {what}{self._log_tail()}")
            if condition():
                return
            if time.monotonic() > deadline:
                raise TimeoutError(f"waited {timeout:g} seconds for {what}{self._log_tail()}")
            time.sleep(POLL_SECONDS)

    def _log_tail(self) -> str:
        lines = self.log_text().splitlines()[-LOG_TAIL_LINES:]
        return "; the end of its log:\n" + "\n".join(lines)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    return port
