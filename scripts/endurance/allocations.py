"""Memory that runs out where a node takes some: the message names the remedy, the next prompt is right."""

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
        at: number of the allocation in its run, the first at its place.
        places: that allocate in the run.
        lasting: whether all after it failed too.
        message: of the error; None where the node found another way, or the allocation was not needed.
        right: the message names the remedy, or the frames are as they should be.
    """

    name: str
    at: int
    places: int
    lasting: bool
    message: str | None
    right: bool


def fail_allocations(server: ComfyServer, prompt: Prompt, names: Sequence[str], points: int | None) -> Iterator[Site]:
    """Let memory run out where some nodes take it, and see that the next prompt is right.

    Args:
        server: with `failing_allocations.py` among its custom nodes.
        prompt: that saves frames.
        names: of its nodes.
        points: of the places that allocate in each node (a line, and all the lines it was called from), spread evenly
            from the first to the last; None for all. The first allocation there fails, and at every other place all
            that come after it.

    Raises:
        ValueError: after a node's failures the prompt's frames are others than before.
    """
    expected = frames_of(server, server.run(prompt))
    for name in names:
        kind = prompt[name]["class_type"]
        _arm(server, kind, 0)
        _check_same(frames_of(server, server.run(prompt)), expected, name)
        firsts = _arm(server, kind, 0)
        chosen = spread(len(firsts), points or len(firsts))
        for number, at in enumerate(firsts[place - 1] for place in chosen):
            lasting = number % 2 == 1
            _arm(server, kind, at, lasting)
            try:
                frames = frames_of(server, server.run(prompt))
            except PromptFailed as failure:
                message = failure.exception_message
                yield Site(
                    name, at, len(firsts), lasting, message, failure.node_id == name and REMEDY in message.lower()
                )
            else:
                yield Site(name, at, len(firsts), lasting, None, bool((frames - expected).abs().max() <= CLOSE))
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


def _arm(server: ComfyServer, kind: str, at: int, lasting: bool = False) -> list[int]:
    """See `FailAllocation`."""
    history = server.run({"arm": node("TestFailAllocation", node=kind, at=at, lasting=lasting)})
    return list(history["outputs"]["arm"]["firsts"])
