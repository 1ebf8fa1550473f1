"""Peak memory of a whole run of the core on a CPU, with random weights of the published size.

`python scripts/measure/memory.py --checkpoint FILE --dtype bfloat16` writes one JSON object. FILE (5.3 GB), a name that
ends in .ckpt, is made where it is absent. Counted is anonymous memory of the process; pages of the mapped file, which
the system takes back when it needs them, are told beside it. Linux only.
"""

from __future__ import annotations

import argparse
import json
import platform
import sys
import threading
import time
from pathlib import Path
from types import TracebackType

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # so that the script runs from anywhere
sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

import benchmark
import torch
from random_checkpoint import random_tensors

from tooncrafter_core import Settings, ToonCrafter, interpolate
from tooncrafter_core.evaluation.command import exit_status
from tooncrafter_core.files.whole import check_file, written_whole

SECONDS = 0.02
"""Between two looks at the process."""


class ResidentPeak(threading.Thread):
    """The most memory this process had while inside the context, by kind, in bytes."""

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self.peaks = {"RssAnon": 0, "RssFile": 0}
        self._done = threading.Event()

    def run(self) -> None:
        while not self._done.wait(SECONDS):
            fields = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
            for kind, peak in self.peaks.items():
                self.peaks[kind] = max(peak, int(fields[kind].split()[0]) * 1024)

    def tell(self, when: str) -> None:
        """Write the peaks so far to standard error: a decode takes minutes more."""
        sys.stderr.write(f"{when}: {json.dumps(self.peaks)}\n")

    def __enter__(self) -> ResidentPeak:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._done.set()
        self.join()


def measure(options: argparse.Namespace) -> dict[str, object]:
    """Run once with two noise pictures.

    Raises:
        ValueError: a setting or the checkpoint cannot be used.
        OSError: the checkpoint cannot be read, or made.
    """
    settings = Settings(
        width=options.width,
        height=options.height,
        frames=options.frames,
        steps=1,
        guidance_scale=1.0,
        two_pass=options.two_pass,
    )
    sides = options.width, options.height
    keyframes = torch.rand(2, 3, *sides[::-1], generator=torch.Generator().manual_seed(0))
    if not options.checkpoint.exists():
        _make(options.checkpoint)
    started = time.monotonic()
    with ResidentPeak() as peak:
        model = ToonCrafter.load(options.checkpoint, dtype=getattr(torch, options.dtype))
        frames = interpolate(model, keyframes, settings, callback=lambda _: peak.tell("before decoding"))
    return {
        "dtype": options.dtype,
        "frames": [len(frames), *sides],
        "two_pass": options.two_pass,
        "gigabytes_anonymous": round(peak.peaks["RssAnon"] / 1e9, 2),
        "gigabytes_mapped": round(peak.peaks["RssFile"] / 1e9, 2),
        "seconds": round(time.monotonic() - started),
        "threads": torch.get_num_threads(),
        "machine": f"{platform.machine()}, torch {torch.__version__}",
    }


def _make(checkpoint: Path) -> None:
    """Write random weights, unless the name is a mistyped one."""
    if checkpoint.suffix != ".ckpt":
        raise ValueError(f"there is no {checkpoint}; expected a checkpoint, or a name in .ckpt for a new one of 5.3 GB")
    check_file(checkpoint)
    with written_whole(checkpoint) as unfinished:
        torch.save({"state_dict": random_tensors(benchmark.PUBLISHED)}, unfinished)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--checkpoint", type=Path, required=True, help="made with random weights where it is absent")
    parser.add_argument(
        "--dtype", choices=["float32", "bfloat16"], default="float32", help="of weights and activations"
    )
    parser.add_argument("--width", type=int, default=benchmark.WIDTH, help="pixels")
    parser.add_argument("--height", type=int, default=benchmark.HEIGHT, help="pixels")
    parser.add_argument("--frames", type=int, default=benchmark.FRAMES, help="of the one segment")
    parser.add_argument("--two-pass", action=argparse.BooleanOptionalAction, default=True, help="decode twice")
    options = parser.parse_args()
    return exit_status(lambda: json.dumps(measure(options)) + "\n")


if __name__ == "__main__":
    sys.exit(main())
