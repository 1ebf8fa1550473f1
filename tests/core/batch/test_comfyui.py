"""What `batch --comfyui` does where a server is not there, is another one, or drops what it was given."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from tooncrafter_core.batch.runners.comfyui_pool import draw
from tooncrafter_core.batch.runners.comfyui_server import RefusedError, Server, ServerAwayError


class Stub(ThreadingHTTPServer):
    """Takes every prompt, and never ends one; `asked` is what came to it."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.running: list[list[object]] = []
        self.page: bytes | None = None
        self.asked: list[tuple[str, object]] = []


class _Handler(BaseHTTPRequestHandler):
    server: Stub

    def do_GET(self) -> None:
        queue = {"queue_running": self.server.running, "queue_pending": []}
        self._answer(queue if self.path == "/queue" else {})

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.server.asked.append((self.path, body))
        self._answer({"prompt_id": "one"})

    def _answer(self, answer: object) -> None:
        self.send_response(200)
        self.end_headers()
        self.wfile.write(self.server.page or json.dumps(answer).encode())

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def stub() -> Iterator[Stub]:
    with Stub() as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server
        server.shutdown()


def server_of(stub: Stub) -> Server:
    return Server.at(f"http://127.0.0.1:{stub.server_port}/")


def test_an_address() -> None:
    assert Server.at("http://127.0.0.1:8188/") == Server.at("http://127.0.0.1:8188")
    for wrong in ("here", "127.0.0.1:8188", "http://", "http://here:port", "ftp://here"):
        with pytest.raises(ValueError, match="expected an address"):
            Server.at(wrong)


@pytest.mark.parametrize("page", [b"<html>", b"\xff\xfe", b"7"])
def test_another_server(page: bytes, stub: Stub) -> None:
    stub.page = page
    with pytest.raises(ValueError, match="is not ComfyUI"):
        server_of(stub).check()


def test_a_prompt_that_was_dropped_is_not_waited_for(stub: Stub) -> None:
    with pytest.raises(ServerAwayError, match="has dropped the prompt"):
        draw(server_of(stub), {}, threading.Event())


def test_a_prompt_of_which_a_part_is_wrong_is_not_run(stub: Stub) -> None:
    errors = {"errors": [{"message": "no such file", "details": "a.ckpt"}], "class_type": "Loader"}
    stub.page = json.dumps({"prompt_id": "one", "node_errors": {"7": errors}}).encode()
    with pytest.raises(
        RefusedError, match=r"refused /prompt: part of the prompt is invalid; Loader: no such file: a.ckpt"
    ):
        draw(server_of(stub), {}, threading.Event())


def test_a_prompt_that_is_stopped_is_left_by_the_server(stub: Stub) -> None:
    stub.running = [[0, "one", {}]]
    stop = threading.Event()
    stop.set()
    with pytest.raises(InterruptedError):
        draw(server_of(stub), {}, stop)
    assert stub.asked[1:] == [("/queue", {"delete": ["one"]}), ("/interrupt", {"prompt_id": "one"})]
