"""Time and memory of one interpolation, in a process of its own.

    python -m tooncrafter_core.evaluation.report.cost --model FILE      # writes one JSON object

The keyframes are noise: what they show does not change the cost.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

from ...inputs import given_path, shortened
from ..command import exit_status, threads

ROOT = Path(__file__).resolve().parents[3]
TIMEOUT = 1800
"""Seconds after which a measurement is given up."""


def measure(model: Path, settings: dict[str, Any], threads: int = 2) -> dict[str, float]:
    """Run this file in a fresh process: what was allocated or kept before does not count.

    Returns:
        `seconds` of the interpolation, `load_seconds`, `import_seconds`, `peak_bytes` of the whole process,
        `load_average` of the machine before, and what was run

    Raises:
        ValueError: it failed; the message is what it said.
    """
    command = [sys.executable, "-m", __name__, "--model", str(model), "--settings", json.dumps(settings)]
    command += ["--threads", str(threads)]
    environment = {**os.environ, "OMP_NUM_THREADS": str(threads), "CUDA_VISIBLE_DEVICES": ""}
    done = subprocess.run(command, env=environment, cwd=ROOT, capture_output=True, text=True, timeout=TIMEOUT)
    if done.returncode:
        raise ValueError(f"measuring time and memory failed: {done.stderr.strip()[-500:]}")
    return json.loads(done.stdout.splitlines()[-1])


def peak_bytes() -> int:
    """The most memory this process ever held.

    `ru_maxrss` (KiB on Linux, bytes on macOS) counts what the parent process held when it started this one, so Linux's
    own `VmHWM`, which begins anew with the program, is taken where there is one.
    """
    status = Path("/proc/self/status")
    if status.exists():
        line = next(line for line in status.read_text().splitlines() if line.startswith("VmHWM:"))
        return int(line.split()[1]) * 1024
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def _run(options: argparse.Namespace) -> dict[str, Any]:
    load_average = os.getloadavg()[0]
    started = time.monotonic()
    import torch

    from ...pipeline import interpolate
    from ...settings import Settings
    from ...toon_crafter import ToonCrafter

    try:
        settings = Settings(**json.loads(options.settings))
    except (TypeError, json.JSONDecodeError, RecursionError) as error:
        raise ValueError(
            f'--settings is {shortened(options.settings)}; expected an object such as {{"steps": 4}} ({error})'
        ) from error
    torch.set_num_threads(options.threads)
    imported = time.monotonic()
    model = ToonCrafter.load(options.model, dtype=torch.float32)
    loaded = time.monotonic()
    keyframes = torch.rand(2, 3, settings.height, settings.width, generator=torch.Generator().manual_seed(0))
    interpolate(model, keyframes, settings)
    return {
        "seconds": time.monotonic() - loaded,
        "load_seconds": loaded - imported,
        "import_seconds": imported - started,
        "peak_bytes": peak_bytes(),
        "load_average": load_average,
        "threads": options.threads,
        **asdict(settings),
    }


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=given_path, required=True, help="a complete checkpoint")
    parser.add_argument("--settings", default="{}", help="settings that differ from the defaults, as JSON")
    parser.add_argument("--threads", type=threads, default=2, help="CPU threads")
    options = parser.parse_args()
    return exit_status(lambda: json.dumps(_run(options)) + "\n")


if __name__ == "__main__":
    sys.exit(main())
