"""Measures what surrounds the model when many shots are drawn.

    python scripts/measure/batch.py workers     # 8 shots with the small model, on one worker and on two (two cores)
    python scripts/measure/batch.py kills       # 16 short shots with it; a worker that draws is killed 10 times
    python scripts/measure/batch.py overhead    # 1,000 shots with a model that sleeps

The exit status is 1 where a bar is missed.
"""

from __future__ import annotations

import argparse
import random
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # so that the script runs from anywhere
sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "tests"))

import psutil
from simulated_shots import files_of, make_shots, sleeping_workers, worker_processes

from tooncrafter_core.batch.command import worker
from tooncrafter_core.batch.plan import plan
from tooncrafter_core.batch.report import Report
from tooncrafter_core.batch.results.store import Results
from tooncrafter_core.batch.run import run
from tooncrafter_core.batch.runners.ray_pool import Cluster, RayPool
from tooncrafter_core.batch.shots.shot import Shot, parse_shot
from tooncrafter_core.batch.work import Models, Worker
from tooncrafter_core.evaluation.command import count
from tooncrafter_core.evaluation.scenes import SIZE, picture, scenes
from tooncrafter_core.files.media import write_frames

ROOT = Path(__file__).resolve().parents[2]

MODEL = ROOT / "assets" / "tooncrafter-tiny" / "tooncrafter-tiny.safetensors"
KILLS = 10


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("workers", "kills", "overhead"))
    parser.add_argument("--steps", type=count, default=20, help="of the small model, for workers (default %(default)s)")
    parser.add_argument("--shots", type=count, default=1000, help="for overhead (default %(default)s)")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="measure-") as folder:
        if options.what == "overhead":
            return _overhead(Path(folder), options.shots)
        if options.what == "workers":
            return _workers(_scene_shots(Path(folder), 8, options.steps), Path(folder))
        return _kills(_scene_shots(Path(folder), 16, 2, frames=6), Path(folder))


def _scene_shots(folder: Path, count: int, steps: int, frames: int = 16) -> list[Shot]:
    """Shots between the ends of drawn scenes."""
    shots = []
    for number, scene in enumerate(scenes(count, seed=5)):
        for moment in (0, 1):
            write_frames(picture(scene, moment)[None], folder / f"{number}_{moment}", 1)
        size = {"width": SIZE[0], "height": SIZE[1], "frames": frames}
        settings = {"frame_rate": 24, "steps": steps, "guidance_scale": 1, "seed": number}
        keyframes = [f"{number}_{moment}/0000.png" for moment in (0, 1)]
        shots.append(parse_shot({"name": f"scene{number}", "keyframes": keyframes, **size, **settings}, folder, {}))
    return shots


@dataclass
class _Timed:
    """A pool that knows when its first worker was free."""

    pool: RayPool
    ready: float = field(default=0.0)

    def __getattr__(self, name: str) -> object:
        return getattr(self.pool, name)

    def __enter__(self) -> _Timed:
        self.pool.__enter__()
        return self

    def __exit__(self, *raised: object) -> None:
        self.pool.__exit__(None, None, None)

    def free(self) -> object:
        free = self.pool.free()
        if free and not self.ready:
            self.ready = time.perf_counter()
        return free


def _maker(results: Results) -> Callable[[bool], Worker]:
    """What makes workers with the small model, of a new folder of results."""
    results.folder.mkdir(parents=True)
    results.weights.write_text("{}\n")
    return partial(worker, Models(MODEL, None, "float32", threads=1), "cpu", results)


def _draw(shots: list[Shot], results: Results, workers: int) -> tuple[Report, float]:
    """The report, and seconds from the first free worker to the end."""
    pool = _Timed(RayPool(Cluster(workers=workers), _maker(results)))
    report = run(shots, results, plan(shots, results, ["small"], 16, whole=False), pool)  # type: ignore[arg-type]
    assert not report.failures, report.failures
    return report, time.perf_counter() - pool.ready


def _workers(shots: list[Shot], folder: Path) -> int:
    seconds, files = {}, {}
    for workers in (1, 2):
        results = Results(folder / f"out{workers}")
        report, drawing = _draw(shots, results, workers)
        seconds[workers], files[workers] = (report.seconds, drawing), files_of(results)
        sys.stdout.write(f"{workers} worker(s): {report.seconds:.1f} s with the start, {drawing:.1f} s without\n")
    whole, without = (seconds[1][i] / seconds[2][i] for i in (0, 1))
    same = files[1] == files[2]
    sys.stdout.write(f"{whole:.2f} times as fast with the start, {without:.2f} without; same files: {same}\n")
    return 0 if same and whole >= 1.7 else 1


def _kills(shots: list[Shot], folder: Path) -> int:
    expected, results = Results(folder / "expected"), Results(folder / "killed")
    alone = _maker(expected)(False)
    started = time.perf_counter()
    for task in plan(shots, expected, ["small"], 16, whole=True).tasks:
        alone.do(task)
    each = (time.perf_counter() - started) / len(shots)
    with _Killer(results, each, random.Random(0)) as killer:
        report, _ = _draw(shots, results, 2)
    same = files_of(expected) == files_of(results)
    sys.stdout.write(
        f"{killer.kills} kills in {report.seconds:.0f} s with two workers, where a shot takes {each:.1f} s; "
        f"{len(files_of(results))} files of {len(shots)} shots, the same as without Ray: {same}\n"
    )
    return 0 if same and killer.kills >= KILLS else 1


@dataclass
class _Killer:
    """Kills a worker that draws, a random while after a shot is done, until KILLS are gone.

    Each kill waits for another shot, so that a slow machine, too, gets on between two.

    Attributes:
        results: of the run.
        moment: seconds that a shot takes.
        chance: of shots, moments and workers.
        kills: so far.
    """

    results: Results
    moment: float
    chance: random.Random
    kills: int = 0
    _over: threading.Event = field(default_factory=threading.Event)

    def __enter__(self) -> _Killer:
        self._thread = threading.Thread(target=self._run)
        self._thread.start()
        return self

    def __exit__(self, *raised: object) -> None:
        self._over.set()
        self._thread.join()

    def _run(self) -> None:
        known = 0
        while self.kills < KILLS and not self._over.wait(0.1):
            drawn_by = [int(record.worker.split()[-1]) for _, record in self.results.records()]
            if len(drawn_by) == known:
                continue
            self._over.wait(self.chance.uniform(0, self.moment))
            if alive := [process for process in worker_processes() if process.pid in drawn_by]:
                self.chance.choice(alive).kill()
                self.kills += 1
            known = len(drawn_by)


def _overhead(folder: Path, count: int) -> int:
    """Wall-clock time beyond the model's own, a shot; memory of this process after a tenth and at the end."""
    seconds, workers = 0.05, 2
    shots, results = make_shots(folder, count), Results(folder / "out")
    pool = _Timed(RayPool(Cluster(workers=workers), sleeping_workers(results, seconds)))
    memory = _Memory(results, [count // 10, count])
    started = time.perf_counter()
    made = plan(shots, results, ["w"], 16, whole=False)
    planning = time.perf_counter() - started
    memory.watch(lambda: run(shots, results, made, pool))  # type: ignore[arg-type]
    drawing = time.perf_counter() - pool.ready
    each = (drawing * workers - seconds * count + planning) / count
    sys.stdout.write(
        f"{count} shots, {workers} workers: {drawing:.1f} s from the first free worker on, {planning:.1f} s to plan; "
        f"{1000 * each:.1f} ms a shot beyond the model's {1000 * seconds:.0f}\n"
        f"memory of the one who hands out, MiB, by shots done: {memory.seen}\n"
    )
    return 0 if each <= 0.05 else 1


@dataclass
class _Memory:
    """What this process takes when so many records are there."""

    results: Results
    counts: list[int]
    seen: dict[int, float] = field(default_factory=dict)

    def watch(self, work: Callable[[], object]) -> None:
        over = threading.Event()
        thread = threading.Thread(target=self._look, args=(over,))
        thread.start()
        work()
        self._note(self.counts[-1])
        over.set()
        thread.join()

    def _look(self, over: threading.Event) -> None:
        while not over.wait(0.5):
            there = sum(1 for _ in self.results.folder.glob("shots/*.json"))
            if there >= self.counts[0] and self.counts[0] not in self.seen:
                self._note(self.counts[0])

    def _note(self, count: int) -> None:
        self.seen[count] = round(psutil.Process().memory_info().rss / 2**20, 1)


if __name__ == "__main__":
    sys.exit(main())
