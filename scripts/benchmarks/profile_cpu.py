"""Where the CPU time of a U-Net pass and of a decode goes, operation by operation, and what it would be at best.

    python scripts/benchmarks/profile_cpu.py --checkpoint FILE --width 128 --height 64

Options are those of `benchmark.py run`. One thread; each operation is timed by itself, by the process's CPU time, and
the median of the runs counts. At best an operation takes as long as the machine's fastest matrix product takes for as
many FLOPs, or its fastest copy for as many bytes (see `Traffic`), whichever is longer.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from statistics import median
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # so that the script runs from anywhere
sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import FlopCounterMode

from benchmarks.counters import Traffic
from benchmarks.machine import Machine
from benchmarks.stage_times import CPU_ATTENTION, Stages, load, settings_of
from tooncrafter_core.evaluation.command import exit_status

SHOWN = 0.01
"""Share of a stage from which an operation has a row."""

Work = Callable[[], object]


class _Clock(TorchDispatchMode):
    """CPU seconds inside each operation, by name."""

    def __init__(self) -> None:
        super().__init__()
        self.seconds: Counter[str] = Counter()

    def __torch_dispatch__(
        self, function: Any, types: Any, arguments: tuple[Any, ...] = (), keywords: dict[str, Any] | None = None
    ) -> Any:
        begun = time.process_time()
        out = function(*arguments, **(keywords or {}))
        self.seconds[function.overloadpacket.__name__] += time.process_time() - begun
        return out


def profile(work: Work, machine: Machine, runs: int) -> Iterator[str]:
    """Rows of a table; without gradients."""
    with Traffic() as traffic:
        work()
    with FlopCounterMode(display=False, custom_mapping=CPU_ATTENTION) as counter:  # takes some operations apart
        work()
    flops = {packet.__name__: count for packet, count in counter.get_flop_counts()["Global"].items()}
    clocks = []
    for _ in range(runs):
        with _Clock() as clock:
            work()
        clocks.append(clock.seconds)
    taken = {name: median(seconds[name] for seconds in clocks) for name in clocks[0]}
    best = {name: max(flops.get(name, 0) / machine.flops, traffic.moved[name] / machine.bandwidth) for name in taken}
    whole = sum(taken.values())
    shown = [name for name, _ in Counter(taken).most_common() if taken[name] >= SHOWN * whole]
    for name in shown:
        yield _row(name, traffic.kernels[name], taken[name], whole, best[name])
    others = taken.keys() - set(shown)
    yield _row("others", sum(traffic.kernels[name] for name in others), *_sums(others, taken, whole, best))
    yield _row("all", traffic.kernels.total(), whole, whole, sum(best.values()))


def _sums(names: set[str], taken: dict[str, float], whole: float, best: dict[str, float]) -> tuple[float, float, float]:
    return sum(taken[name] for name in names), whole, sum(best[name] for name in names)


def _row(name: str, kernels: int, taken: float, whole: float, best: float) -> str:
    return f"| {name} | {kernels} | {taken:.3g} | {taken / whole:.0%} | {best:.3g} |"


def main(arguments: Sequence[str]) -> int:
    """Write a table of each stage."""
    options = settings_of(arguments)
    return exit_status(lambda: "\n".join(tables(options)) + "\n")


def tables(options: argparse.Namespace) -> Iterator[str]:
    """Lines of Markdown."""
    torch.manual_seed(0)
    torch.set_num_threads(1)
    model = load(options)
    machine = Machine.measured(torch.device("cpu"), getattr(torch, options.dtype))
    stages = Stages(model, options)
    yield f"{machine.name}, torch {torch.__version__}, {options.dtype}"
    works = {"U-Net pass": (model.unet, stages.denoising), "decode once": (model.autoencoder, stages.decoding)}
    for stage, (part, make) in works.items():
        yield f"\n| {stage} | calls | seconds | share | at best |\n| --- | --- | --- | --- | --- |"
        with torch.no_grad(), model.at_work(part):
            yield from profile(make(), machine, options.runs)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
