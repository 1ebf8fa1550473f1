"""Kill a training's processes at random steps, and compare what comes of it with an undisturbed run.

    python scripts/endurance/kill_training.py NAME --config settings.json --out OUT [--kills 10]

Both runs are started by `accelerate launch` over two processes. One of the two is killed with SIGKILL; the launcher
ends the other and itself, and is started again, as a user would.
"""

from __future__ import annotations

import argparse
import json
import logging
import os
import random
import subprocess
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # so that the script runs from anywhere
sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

import psutil
import torch

from tooncrafter_core.evaluation.command import count, exit_status, new_folder
from tooncrafter_core.training.__main__ import TRAININGS
from tooncrafter_core.training.settings.run import RunSettings, read_settings

ROOT = Path(__file__).resolve().parents[2]

PROCESSES = 2
LAUNCH = [sys.executable, "-m", "accelerate.commands.launch", "--multi_gpu", "--num_machines", "1"]
LAUNCH += f"--num_processes {PROCESSES} --mixed_precision no --dynamo_backend no".split()
MODULE = "tooncrafter_core.training"
LONGEST = 1.0
"""Seconds from a step to a kill at most."""
LAST = 0.9
"""Share of the steps after which none is killed."""
COMPARED = "model.safetensors", "metrics.csv"

log = logging.getLogger("kills")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("name", choices=TRAININGS)
    parser.add_argument("--config", type=Path, required=True, help="settings; output is left aside")
    parser.add_argument("--out", type=new_folder, required=True, metavar="FOLDER", help="a new one")
    parser.add_argument("--kills", type=count, default=10, help="(default %(default)s)")
    chosen = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s", datefmt="%H:%M:%S")
    return exit_status(lambda: compare(chosen))


def compare(chosen: argparse.Namespace) -> None:
    """Run the training undisturbed and disturbed; status 1 where weights or metrics differ.

    Raises:
        ValueError: the settings cannot be used.
        ChildProcessError: the training ended by itself.
    """
    settings = read_settings(TRAININGS[chosen.name].settings, chosen.config)
    out = chosen.out.absolute()
    whole, disturbed = (Run(chosen.name, settings, out / name) for name in ("whole", "disturbed"))
    whole.finish()
    rng = random.Random(0)
    for number in range(chosen.kills):
        disturbed.work_until(LAST * settings.steps * (number + rng.random()) / chosen.kills)
        time.sleep(rng.uniform(0, LONGEST))
        disturbed.lose(rng)
        log.info("%d: killed after %d of %d steps", number + 1, disturbed.steps(), settings.steps)
    disturbed.finish()
    log.info("started %d times", disturbed.starts)
    for name in COMPARED:
        if (whole.output / name).read_bytes() != (disturbed.output / name).read_bytes():
            raise SystemExit(f"{name} differs")
    log.info("weights and metrics are the same")


class Run:
    """A training as a user starts it, again and again with one folder."""

    def __init__(self, name: str, settings: RunSettings, output: Path) -> None:
        self.output, self.starts = output, 0
        self._process: psutil.Popen | None = None
        output.mkdir(parents=True)
        config = output / "settings.json"
        config.write_text(json.dumps({**settings.model_dump(mode="json"), "output": str(output)}))
        self._command = [*LAUNCH, "--module", MODULE, name, "--config", str(config)]

    @property
    def launcher(self) -> psutil.Popen:
        """The one that runs; it is started where none does.

        Raises:
            ChildProcessError: it came to an end by itself.
        """
        if self._process is not None and (status := self._process.poll()) is not None:
            if not status:
                raise ChildProcessError("the training came to its end before all kills; take more steps")
            self._process = None
        if self._process is None:
            cpu = {} if torch.cuda.is_available() else {"ACCELERATE_USE_CPU": "true"}
            with (self.output / "log.txt").open("ab") as told:
                self._process = psutil.Popen(
                    self._command, cwd=ROOT, env={**os.environ, **cpu}, stdout=told, stderr=subprocess.STDOUT
                )
            self.starts += 1
        return self._process

    def workers(self) -> list[psutil.Process]:
        """The processes that train, once there are as many as there should be."""
        while len(found := [child for child in self.launcher.children() if _trains(child)]) < PROCESSES:
            time.sleep(0.05)
        return found

    def work_until(self, steps: float) -> None:
        """Wait until so many steps are taken."""
        while self.steps() < steps and self.launcher:
            time.sleep(0.05)

    def lose(self, rng: random.Random) -> None:
        """End one of the processes that train with SIGKILL, and wait until the launcher has seen it."""
        workers, launcher = self.workers(), self.launcher
        rng.choice(workers).kill()
        launcher.wait()

    def finish(self) -> None:
        """Run to the end.

        Raises:
            ChildProcessError: the training failed.
        """
        if status := self.launcher.wait():
            raise ChildProcessError(f"the training ended with {status}, see {self.output / 'log.txt'}")

    def steps(self) -> int:
        """How many are in the table."""
        table = self.output / "metrics.csv"
        return max(0, len(table.read_text().splitlines()) - 1) if table.exists() else 0


def _trains(process: psutil.Process) -> bool:
    try:
        return MODULE in process.cmdline()
    except psutil.NoSuchProcess:
        return False


if __name__ == "__main__":
    sys.exit(main())
