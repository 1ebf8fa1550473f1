"""Kill the data pipeline's workers and drivers at random moments, and compare the list with an undisturbed one.

    python scripts/kill_data_pipeline.py FILM OUT [--kills 10] [--longest SECONDS]

Each round starts in a new folder, kills a worker, then the driver, both with SIGKILL, and starts again.
"""

from __future__ import annotations

import argparse
import logging
import random
import subprocess
import sys
import time
from pathlib import Path

import psutil

LIST = "clips.jsonl"
WORKER = "ray::MapWorker"

log = logging.getLogger("kills")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("film", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument(
        "--kills", type=int, default=10, help="rounds, a worker and a driver each (default %(default)s)"
    )
    parser.add_argument("--longest", type=float, default=20, help="seconds until a kill at most (default %(default)s)")
    chosen = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    whole = run(chosen.film, chosen.out / "whole")
    rng = random.Random(0)
    for number in range(1, chosen.kills + 1):
        folder = chosen.out / str(number)
        workers = disturb(chosen.film, folder, rng.uniform(1, chosen.longest), rng.uniform(0, chosen.longest))
        there = sum(1 for _ in folder.rglob("*.json")) + sum(1 for _ in folder.rglob("clips/*.mp4"))
        same = run(chosen.film, folder) == whole
        log.info("%d: %d workers killed, %d results kept, same list: %s", number, workers, there, same)
        if not same:
            return 1
    return 0


def start(film: Path, folder: Path) -> subprocess.Popen[bytes]:
    """The pipeline as a user starts it."""
    command = [sys.executable, "-m", "tooncrafter_core.data.prepare", str(film), "--out", str(folder)]
    return subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def run(film: Path, folder: Path) -> bytes:
    """The list of a run to its end."""
    if status := start(film, folder).wait():
        raise RuntimeError(f"the pipeline ended with {status}; run it on {folder} and see what it says")
    return (folder / LIST).read_bytes()


def disturb(film: Path, folder: Path, before: float, after: float) -> int:
    """Start a run, kill one of its workers after some seconds and the driver after some more; how many workers died."""
    driver = start(film, folder)
    time.sleep(before)
    killed = 0
    workers = [process for process in psutil.Process(driver.pid).children(recursive=True) if _is_worker(process)]
    if workers:
        random.choice(workers).kill()
        killed = 1
    time.sleep(after)
    driver.kill()
    driver.wait()
    return killed


def _is_worker(process: psutil.Process) -> bool:
    try:
        return process.name().startswith("ray::MapWorker") or any(WORKER in part for part in process.cmdline())
    except psutil.NoSuchProcess:
        return False


if __name__ == "__main__":
    sys.exit(main())
