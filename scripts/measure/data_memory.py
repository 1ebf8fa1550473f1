"""What the data pipeline's processes take at most, for a film and for one several times as long.

    python scripts/measure/data_memory.py OUT

The films are drawn: pans of 30 frames, one shot after the other.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Sequence
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # so that the script runs from anywhere
sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "tests"))

import psutil
from drawn_film import FPS, SHOT, pan, write_film
from endurance.kill_data_pipeline import Run

from tooncrafter_core.evaluation.command import count, exit_status, new_folder

ROOT = Path(__file__).resolve().parents[2]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=new_folder, help="a new one")
    parser.add_argument("--shots", type=count, nargs="+", default=[12, 96], help="of each film (default %(default)s)")
    chosen = parser.parse_args()
    return exit_status(lambda: measure(chosen))


def measure(chosen: argparse.Namespace) -> None:
    """Write a line for each film.

    Raises:
        ChildProcessError: the pipeline failed.
    """
    for shots in chosen.shots:
        folder = chosen.out / str(shots)
        folder.mkdir(parents=True)
        film = write_film(folder / "film.mp4", [frame for seed in range(shots) for frame in pan(seed)])
        run = Run(film, folder / "out")
        driver, worker = _peaks(run)
        sys.stdout.write(
            f"{shots * SHOT / FPS:.0f} s of film: driver {driver:.0f} MiB, worker {worker:.0f} MiB at most, "
            f"{run.kept()} results\n"
        )
        sys.stdout.flush()


def _peaks(run: Run) -> tuple[float, float]:
    """The most memory of its own, in MiB, that the driver and any worker were seen with during a run."""
    driver, worker = 0.0, 0.0
    process = run.driver
    while process.is_running() and process.status() != psutil.STATUS_ZOMBIE:
        driver = max(driver, _own([process]))
        worker = max(worker, _own(run.now_working()))
        time.sleep(0.3)
    run.finish()
    return driver, worker


def _own(processes: Sequence[psutil.Process]) -> float:
    """MiB that the largest of these processes shares with no other."""
    sizes = [0.0]
    for process in processes:
        try:
            sizes.append(process.memory_full_info().uss / 2**20)
        except psutil.Error:  # it has ended
            continue
    return max(sizes)


if __name__ == "__main__":
    sys.exit(main())
