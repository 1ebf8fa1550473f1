"""Memory that runs out at chosen allocations of every node: the message names the remedy, the next prompt is right."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from comfy_harness.prompts import Prompt, node
from comfy_harness.server import ComfyServer, PromptFailed
from torch import Tensor

from .prompts import frames_of

REMEDY = "close other programs"
"""In every message about memory, after what else helps."""

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
    """Let memory run out at some allocations of some nodes, and see that the next prompt is right.

    Args:
        server: with `failing_allocations.py` among its custom nodes.
        prompt: that saves frames.
        names: of its nodes.
        points: allocations of each node, spread evenly from the first to the last; at every other one all that come
            after it fail too.

    Raises:
        ValueError: after a node's failures the prompt's frames are others than before.
    """
    expected = frames_of(server, server.run(prompt))
    for name in names:
        kind = prompt[name]["class_type"]
        _arm(server, kind, 0)
        _check_same(frames_of(server, server.run(prompt)), expected, name)
        count = _arm(server, kind, 0)
        for number, at in enumerate(spread(count, points)):
            lasting = number % 2 == 1
            _arm(server, kind, at, lasting)
            try:
                frames = frames_of(server, server.run(prompt))
            except PromptFailed as failure:
                message = failure.exception_message
                yield Site(name, at, count, lasting, message, failure.node_id == name and REMEDY in message.lower())
            else:
                yield Site(name, at, count, lasting, None, bool((frames - expected).abs().max() <= CLOSE))
    _arm(server, "", 0)
    _check_same(frames_of(server, server.run(prompt)), expected, "the end")


def _check_same(frames: Tensor, expected: Tensor, name: str) -> None:
    if not torch.equal(frames, expected):
        raise ValueError(f"after memory ran out before {name}, the next prompt gives other frames")


def spread(count: int, points: int) -> list[int]:
    """Whole numbers from 1 to `count`, so many of them where there are as many; one is in the middle."""
    if points == 1:
        return [(count + 1) // 2]
    return sorted({1 + round(i * (count - 1) / (points - 1)) for i in range(points)})


def _arm(server: ComfyServer, kind: str, at: int, lasting: bool = False) -> int:
    """See `FailAllocation`."""
    history = server.run({"arm": node("TestFailAllocation", node=kind, at=at, lasting=lasting)})
    return int(history["outputs"]["arm"]["allocations"][0])
