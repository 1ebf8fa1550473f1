"""What a piece of work costs by count, without running it at full size: operations, memory, kernels and bytes."""

from __future__ import annotations

import weakref
from collections import Counter
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import FlopCounterMode

Work = Callable[[], object]


def count_flops(work: Work) -> int:
    """Floating-point operations of matrix products and convolutions, attention's among them."""
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        work()
    return counter.get_total_flops()


class PeakMemory(TorchDispatchMode):
    """The most bytes that were alive at once among the tensors made inside this context on one kind of device.

    Values are not copied between meta tensors, which stand for the device, and the CPU. Mapped files do not count.
    """

    def __init__(self, device: str = "meta") -> None:
        super().__init__()
        self.device = device
        self.alive = self.peak = 0

    def __torch_dispatch__(
        self, function: Any, types: Any, arguments: tuple[Any, ...] = (), keywords: dict[str, Any] | None = None
    ) -> Any:
        if function is torch.ops.aten.copy_.default and arguments[0].device != arguments[1].device:
            return arguments[0]
        out = function(*arguments, **(keywords or {}))
        if function is torch.ops.aten.from_file.default:
            return out
        known = set(map(id, _storages((arguments, keywords))))
        for storage in {id(storage): storage for storage in _storages(out)}.values():
            if id(storage) not in known and storage.device.type == self.device:
                self._born(storage)
        return out

    def _born(self, storage: torch.UntypedStorage) -> None:
        size = storage.nbytes()
        self.alive += size
        self.peak = max(self.peak, self.alive)
        weakref.finalize(storage, self._died, size).atexit = False

    def _died(self, size: int) -> None:
        self.alive -= size


def _storages(values: Any) -> list[torch.UntypedStorage]:
    return [leaf.untyped_storage() for leaf in tree_leaves(values) if isinstance(leaf, Tensor)]


def peak_bytes(work: Work, device: str = "meta") -> int:
    """Peak activation memory: everything `work` makes on a kind of device, weights and inputs not among it."""
    with torch.no_grad(), PeakMemory(device) as memory:
        work()
    return memory.peak


class Traffic(TorchDispatchMode):
    """Kernels launched inside this context and bytes they read and write, by ATen operation.

    Each operation that computes or copies counts as one kernel, which reads each of its tensors once, weights among
    them, and writes its results once; in place, it reads and writes what it changes. Views and allocations are free.
    What a kernel does inside (a second reading for a norm's statistics, workspace) is not seen, nor what caches save.

    Attributes:
        kernels: number of calls by name.
        moved: bytes by name.
    """

    def __init__(self) -> None:
        super().__init__()
        self.kernels: Counter[str] = Counter()
        self.moved: Counter[str] = Counter()

    def __torch_dispatch__(
        self, function: Any, types: Any, arguments: tuple[Any, ...] = (), keywords: dict[str, Any] | None = None
    ) -> Any:
        out = function(*arguments, **(keywords or {}))
        name = function.overloadpacket.__name__
        if not (function.is_view or name in _FREE):
            given = {**(keywords or {})}
            given.pop("out", None)  # written, and counted as the result
            tensors = [leaf for leaf in tree_leaves((arguments, given, out)) if isinstance(leaf, Tensor)]
            self.kernels[name] += 1
            self.moved[name] += sum(tensor.nbytes for tensor in tensors)
        return out


_FREE = ("empty", "empty_like", "empty_strided", "new_empty", "_unsafe_view", "detach")
"""Operations that launch nothing, beside views."""


def count_traffic(work: Work) -> Traffic:
    """What `work` launches and moves in inference."""
    with torch.no_grad(), Traffic() as traffic:  # composite operations stay whole in inference mode
        work()
    return traffic
