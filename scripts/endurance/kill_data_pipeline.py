"""Kill the data pipeline's workers and drivers at random moments, and compare the list with an undisturbed one.

    python scripts/endurance/kill_data_pipeline.py FILM OUT [--kills 10]

Each kill comes a random while after the run has kept another result, so that it meets work, on slow machines too. A
driver that was killed is started again, as a user would; both kinds of process are killed with SIGKILL, in turn.
"""

from __future__ import annotations

import argparse
import logging
import random
import subprocess
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # so that the script runs from anywhere
sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

import psutil

from tooncrafter_core.data.prepare.film import open_film
from tooncrafter_core.evaluation.command import count, exit_status, new_folder

LIST = "clips.jsonl"
WORKER = "ray::MapWorker"
LONGEST = 1.0
"""Seconds from a result to a kill at most."""
LAST = 0.9
"""Share of the results after which none is killed."""

log = logging.getLogger("kills")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("film", type=Path)
    parser.add_argument("out", type=new_folder, help="a new one")
    parser.add_argument("--kills", type=count, default=10, help="workers and drivers together (default %(default)s)")
    chosen = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s", datefmt="%H:%M:%S")
    return exit_status(lambda: compare(chosen))


def compare(chosen: argparse.Namespace) -> None:
    """Run the pipeline undisturbed and disturbed; status 1 where the lists differ.

    Raises:
        ValueError: the film cannot be read.
        ChildProcessError: the pipeline ended by itself.
    """
    open_film(chosen.film)
    whole, disturbed = Run(chosen.film, chosen.out / "whole"), Run(chosen.film, chosen.out / "disturbed")
    whole.finish()
    rng = random.Random(0)
    for number in range(chosen.kills):
        disturbed.work_until(LAST * whole.kept() * (number + rng.random()) / chosen.kills)
        time.sleep(rng.uniform(0, LONGEST))
        name = "worker" if number % 2 == 0 else "driver"
        disturbed.kill(rng.choice(disturbed.workers()) if name == "worker" else disturbed.driver)
        log.info("%d: %s killed, %d of %d results kept", number + 1, name, disturbed.kept(), whole.kept())
    disturbed.finish()
    if whole.clip_list() != disturbed.clip_list():
        raise SystemExit("the lists differ")
    log.info("the lists are the same")


class Run:
    """The pipeline as a user starts it, again and again with one folder."""

    def __init__(self, film: Path, folder: Path) -> None:
        self._command = [sys.executable, "-m", "tooncrafter_core.data.prepare", str(film), "--out", str(folder)]
        self._folder = folder
        self._process: psutil.Popen | None = None

    @property
    def driver(self) -> psutil.Process:
        """The one that runs; it is started where none does.

        Raises:
            ChildProcessError: it came to an end by itself.
        """
        if self._process is None:
            self._process = psutil.Popen(self._command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        if self._process.poll() is not None:
            raise ChildProcessError(f"the pipeline ended with {self._process.returncode} before all kills")
        return self._process

    def workers(self) -> list[psutil.Process]:
        """Processes that work on items, once there are any."""
        while self.driver and not (found := self.now_working()):
            time.sleep(0.05)
        return found

    def now_working(self) -> list[psutil.Process]:
        """Processes that work on items."""
        children = self._process.children(recursive=True) if self._process else []
        return [each for each in children if _is_worker(each)]

    def work_until(self, results: float) -> None:
        """Wait until so many results are kept."""
        while self.kept() < results and self.driver:
            time.sleep(0.05)

    def kill(self, process: psutil.Process) -> None:
        """End it with SIGKILL."""
        process.kill()
        if process is self._process:
            process.wait()
            self._process = None

    def finish(self) -> None:
        """Run to the end.

        Raises:
            ChildProcessError: the pipeline failed.
        """
        if status := (self._process or self.driver).wait():
            raise ChildProcessError(f"the pipeline ended with {status}; run it on {self._folder} and see what it says")

    def kept(self) -> int:
        """How many results and clips are there."""
        return sum(1 for pattern in ("results/*/??/*.json", "clips/*.mp4") for _ in self._folder.glob(pattern))

    def clip_list(self) -> bytes:
        """The clip list."""
        return (self._folder / LIST).read_bytes()


def _is_worker(process: psutil.Process) -> bool:
    try:
        return process.name().startswith(WORKER) or any(WORKER in part for part in process.cmdline())
    except psutil.NoSuchProcess:
        return False


if __name__ == "__main__":
    sys.exit(main())
