"""How fast this machine is at what everything consists of, a matrix product and a copy, and how work is timed on it."""

from __future__ import annotations

import platform
import time
from dataclasses import dataclass
from pathlib import Path

import torch

from benchmarks.counters import Work

MATRIX = {"cpu": 1024, "cuda": 8192}
"""Side of the matrices whose product is timed."""
COPIED = 2**28
"""Bytes of the copy that is timed."""


@dataclass(frozen=True)
class Machine:
    """What is measured against.

    Attributes:
        name: of the processor or graphics card.
        flops: operations a second of a large matrix product.
        bandwidth: bytes a second that a large copy reads and writes.
    """

    name: str
    flops: float
    bandwidth: float

    @staticmethod
    def measured(device: torch.device, dtype: torch.dtype) -> Machine:
        side = MATRIX[device.type]
        a, b = torch.ones(2, side, side, device=device, dtype=dtype).unbind()
        source = torch.ones(COPIED // dtype.itemsize, device=device, dtype=dtype)
        target = torch.empty_like(source)
        product = min(timed(lambda: a @ b, device, 10))
        copy = min(timed(lambda: target.copy_(source), device, 10))
        return Machine(_name_of(device), 2 * side**3 / product, 2 * source.nbytes / copy)


def timed(work: Work, device: torch.device, runs: int) -> list[float]:
    """Seconds of each run: of the device's events, or of CPU time."""
    if device.type != "cuda":
        stamps = []
        for _ in range(runs):
            begun = time.process_time()
            work()
            stamps.append(time.process_time() - begun)
        return stamps
    events = [(torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)) for _ in range(runs)]
    for begin, end in events:
        begin.record()
        work()
        end.record()
    torch.cuda.synchronize()
    return [begin.elapsed_time(end) / 1000 for begin, end in events]


def _name_of(device: torch.device) -> str:
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    listed = Path("/proc/cpuinfo")
    names = (
        [line for line in listed.read_text().splitlines() if line.startswith("model name")] if listed.exists() else []
    )
    return f"one core of {names[0].partition(': ')[2]}" if names else f"one core of {platform.processor()}"
