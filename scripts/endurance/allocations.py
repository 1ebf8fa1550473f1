"""Memory that runs out at chosen allocations of every node: the message names the remedy, the next prompt is right."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from comfy_harness.prompts import Prompt, node
from comfy_harness.server import ComfyServer, PromptFailed

from tooncrafter_core.memory import REMEDY

from .prompts import frames_of

CLOSE = 1.5 / 255
"""How far frames may be off that were made in smaller parts."""


@dataclass(frozen=True)
class Site:
    """Where memory ran out.

    Attributes:
        name: of the node.
        at: number of the allocation in its run.
        allocations: that the run has.
        lasting: whether all after it failed too.
        message: of the error; None where the node found another way, or the allocation was not needed.
        right: the message names the remedy, or the frames are as they should be.
    """

    name: str
    at: int
    allocations: int
    lasting: bool
    message: str | None
    right: bool


def fail_allocations(server: ComfyServer, prompt: Prompt, names: Sequence[str], points: int) -> Iterator[Site]:
    """Let memory run out at some allocations of some nodes, once and lastingly, and see that the next prompt is right.

    Args:
        server: with `failing_allocations.py` among its custom nodes.
        prompt: that saves frames.
        names: of its nodes.
        points: allocations of each node, spread evenly from the first to the last.

    Raises:
        ValueError: after a node's failures the prompt's frames are others than before.
    """
    for name in names:
        kind = prompt[name]["class_type"]
        _arm(server, kind, 0, False)
        expected = frames_of(server, server.run(prompt))
        count = _arm(server, kind, 0, False)
        for at in spread(count, points):
            for lasting in (False, True):
                _arm(server, kind, at, lasting)
                try:
                    frames = frames_of(server, server.run(prompt))
                except PromptFailed as failure:
                    message = failure.exception_message
                    yield Site(name, at, count, lasting, message, failure.node_id == name and REMEDY in message)
                else:
                    yield Site(name, at, count, lasting, None, bool((frames - expected).abs().max() <= CLOSE))
        _arm(server, kind, 0, False)
        if not bool((frames_of(server, server.run(prompt)) == expected).all()):
            raise ValueError(f"after memory ran out in {name}, the next prompt gives other frames")
        _arm(server, kind, 0, False)


def spread(count: int, points: int) -> list[int]:
    """Whole numbers from 1 to `count`, so many of them where there are as many."""
    return sorted({1 + round(i * (count - 1) / max(points - 1, 1)) for i in range(points)})


def _arm(server: ComfyServer, kind: str, at: int, lasting: bool) -> int:
    """See `FailAllocation`."""
    history = server.run({"arm": node("TestFailAllocation", node=kind, at=at, lasting=lasting)})
    return int(history["outputs"]["arm"]["allocations"][0])
