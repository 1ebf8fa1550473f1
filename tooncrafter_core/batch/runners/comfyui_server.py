"""What a server of ComfyUI is asked for: to take pictures and prompts, to say what came of them, and to stop."""

from __future__ import annotations

import json
import mimetypes
import urllib.error
import urllib.parse
import urllib.request
import uuid
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from http.client import HTTPException
from pathlib import Path
from typing import Any

from .comfyui_prompt import Prompt

_TIMEOUT = 60
"""Seconds that an answer may take; a prompt may take any time."""

_OPENER = urllib.request.build_opener(urllib.request.ProxyHandler({}))
"""A proxy for the outside world is not asked for a server in the house."""

ENDED_BADLY = "execution_error", "execution_interrupted"
"""Messages in a prompt's history after which there is no result."""


class ServerAwayError(OSError):
    """A server that does not answer."""


class RefusedError(ValueError):
    """A server does not do what it was asked for; `answer` is what it said as JSON, or nothing."""

    def __init__(self, url: str, path: str, status: int, text: str) -> None:
        try:
            self.answer = dict(json.loads(text))
        except (ValueError, TypeError):
            self.answer = {}
        super().__init__(f"{url} refused {path}: {_reason(self.answer) or f'status {status} {text[:200]}'}")


@dataclass(frozen=True)
class Server:
    """One server of ComfyUI.

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
            known = self.json("/object_info/ToonCrafterLoader")
        except (json.JSONDecodeError, UnicodeDecodeError):
            known = None
        if not isinstance(known, dict):
            raise ValueError(f"what answers at {self.url} is not ComfyUI; name the address of its page")
        if "ToonCrafterLoader" not in known:
            raise ValueError(f"ComfyUI at {self.url} has no ToonCrafter nodes; install this pack there")

    def upload(self, picture: Path, name: str, overwrite: bool = False) -> str:
        """Put a picture into the server's input folder; returns its name there, another one where that is taken."""
        boundary, kind = uuid.uuid4().hex, mimetypes.guess_type(name)[0] or "application/octet-stream"
        form = f"--{boundary}\r\nContent-Disposition: form-data; name="
        head = f'{form}"overwrite"\r\n\r\n{str(overwrite).lower()}\r\n'
        head += f'{form}"image"; filename="{name}"\r\nContent-Type: {kind}\r\n\r\n'
        body = head.encode() + picture.read_bytes() + f"\r\n--{boundary}--\r\n".encode()
        return str(json.loads(self.ask("/upload/image", body, f"multipart/form-data; boundary={boundary}"))["name"])

    def queue(self, prompt: Prompt) -> str:
        """Queue a prompt and return its id; RefusedError where any part of it is invalid."""
        answer = self.json("/prompt", {"prompt": prompt})
        if answer.get("node_errors"):
            raise RefusedError(self.url, "/prompt", 200, json.dumps(answer))
        return str(answer["prompt_id"])

    def history(self, run: str) -> dict[str, Any] | None:
        """What came of a prompt, by its id; None where it has not ended."""
        found: dict[str, Any] | None = self.json(f"/history/{run}").get(run)
        return found

    def has(self, run: str) -> bool:
        """Whether a prompt waits or runs."""
        return any(run == entry[1] for entries in self.json("/queue").values() for entry in entries)

    def leave(self, run: str) -> None:
        """Take a prompt out of the queue, or stop it where it runs."""
        self.json("/queue", {"delete": [run]})
        if any(run == entry[1] for entry in self.json("/queue")["queue_running"]):
            self.json("/interrupt", {"prompt_id": run})

    def json(self, path: str, given: object = None) -> Any:
        """The answer to a question, or to something given as JSON; None where it is empty."""
        answer = self.ask(path, None if given is None else json.dumps(given).encode())
        return json.loads(answer) if answer else None

    def ask(self, path: str, body: bytes | None = None, kind: str = "application/json") -> bytes:
        """Ask for one of the server's paths.

        Args:
            path: begins with a slash.
            body: what is sent.
            kind: of the body.

        Raises:
            RefusedError: it answers that it will not.
            ServerAwayError: it does not answer.
        """
        request = urllib.request.Request(self.url + path, data=body, headers={"Content-Type": kind})
        try:
            with _OPENER.open(request, timeout=_TIMEOUT) as answer:
                content: bytes = answer.read()
                return content
        except urllib.error.HTTPError as error:
            raise RefusedError(self.url, path, error.code, error.read().decode(errors="replace")) from error
        except (urllib.error.URLError, TimeoutError, ConnectionError, HTTPException) as error:
            reason = " ".join(str(getattr(error, "reason", error)).split())
            raise ServerAwayError(f"no ComfyUI answers at {self.url} ({reason}); start it, or name another") from error


def node_errors(answer: Mapping[str, Any]) -> Iterator[tuple[str, str, str]]:
    """Of a refused prompt: each faulty node's id and class, and what is wrong there."""
    for node_id, node in (answer.get("node_errors") or {}).items():
        for error in node["errors"]:
            yield node_id, node["class_type"], f"{error['message']}: {error['details']}"


def _reason(answer: Mapping[str, Any]) -> str:
    """What ComfyUI says of a prompt that it does not take."""
    try:
        nodes = [f"{kind}: {what}" for _, kind, what in node_errors(answer)]
        said = (answer.get("error") or {}).get("message", "part of the prompt is invalid" if nodes else "")
        return "; ".join(filter(None, [said, *nodes]))
    except (KeyError, TypeError, AttributeError):
        return ""
