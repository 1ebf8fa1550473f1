"""Memory that runs out where it is wanted to: in the core directly, and in a ComfyUI that has this file as a node."""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable
from types import CodeType
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

REASON = "an allocation that was made to fail"


class FailingAllocations(TorchDispatchMode):
    """Counts the operations inside this context that take memory; one of them fails for want of it.

    Args:
        at: which one, from 1 on; 0 for none.
        lasting: all that come after it fail too.

    Attributes:
        count: of operations so far, the failed ones included.
        firsts: number of the first operation at each place: a line, and all the lines it was called from.
    """

    def __init__(self, at: int = 0, lasting: bool = False) -> None:
        super().__init__()
        self.at, self.lasting, self.count = at, lasting, 0
        self.firsts: list[int] = []
        self._places: set[tuple[tuple[CodeType, int], ...]] = set()

    def __torch_dispatch__(
        self, function: Any, types: Any, arguments: tuple[Any, ...] = (), keywords: dict[str, Any] | None = None
    ) -> Any:
        out = function(*arguments, **(keywords or {}))
        if not function.is_view and _storages(out) - _storages((arguments, keywords)):
            self.count += 1
            self._note(_place())
            if self.count == self.at or (self.lasting and 0 < self.at < self.count):
                raise torch.OutOfMemoryError(f"{REASON}: {function}")
        return out

    def _note(self, place: tuple[tuple[CodeType, int], ...]) -> None:
        if place not in self._places:
            self._places.add(place)
            self.firsts.append(self.count)


def _place() -> tuple[tuple[CodeType, int], ...]:
    """The lines that led to the operation, innermost first."""
    lines, frame = [], sys._getframe(2)
    while frame:
        lines.append((frame.f_code, frame.f_lineno))
        frame = frame.f_back
    return tuple(lines)


def _storages(values: Any) -> set[int]:
    """Addresses of what tensors take memory for: not of empty ones, nor of those without content."""
    tensors = (leaf for leaf in tree_leaves(values) if isinstance(leaf, Tensor))
    held = (tensor.untyped_storage() for tensor in tensors if tensor.device.type != "meta")
    return {storage.data_ptr() for storage in held if storage.nbytes()}


class FailAllocation:
    """Make one allocation in the next runs of a node fail, and tell which ones the last run of the node before had: the
    first at each place.

    Without the name of a node all are as they were.
    """

    RETURN_TYPES = ()
    OUTPUT_NODE = True
    FUNCTION = "run"
    CATEGORY = "tests"
    allocations = FailingAllocations()
    undo: Callable[[], None] = staticmethod(lambda: None)

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:
        at = ("INT", {"max": 10**9})
        return {"required": {"node": ("STRING", {}), "at": at, "lasting": ("BOOLEAN", {})}}

    @classmethod
    def IS_CHANGED(cls, **_: Any) -> float:
        return float("nan")

    def run(self, node: str, at: int, lasting: bool) -> dict[str, Any]:
        from nodes import NODE_CLASS_MAPPINGS  # ComfyUI's

        cls = type(self)
        cls.undo()
        cls.undo = staticmethod(lambda: None)
        told = {"ui": {"firsts": cls.allocations.firsts}}
        if not node:
            return told
        patched = NODE_CLASS_MAPPINGS[node]
        execute = patched.__dict__["execute"].__func__

        @functools.wraps(execute)
        def failing(*arguments: Any, **inputs: Any) -> Any:
            cls.allocations = FailingAllocations(at, lasting)
            with cls.allocations:
                return execute(*arguments, **inputs)

        def undo() -> None:
            patched.execute = classmethod(execute)
            del patched.fingerprint_inputs

        patched.execute = classmethod(failing)
        patched.fingerprint_inputs = classmethod(lambda *_, **__: float("nan"))  # never from the cache
        cls.undo = staticmethod(undo)
        return told


NODE_CLASS_MAPPINGS = {"TestFailAllocation": FailAllocation}
