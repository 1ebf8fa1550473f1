"""The tasks of shots with long segments, without models: what waits for what, what comes first, what is left out."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest
import torch
from here_pool import Failing, HerePool
from safetensors.torch import save_file
from simulated_shots import SleepingModel, files_of, make_shots, plans_of

from tooncrafter_core.batch.plan import plan
from tooncrafter_core.batch.report import Report
from tooncrafter_core.batch.results.store import Results
from tooncrafter_core.batch.run import run
from tooncrafter_core.batch.runners.dispatch import Dispatch, WorkerLostError
from tooncrafter_core.batch.shots.shot import Shot
from tooncrafter_core.batch.tasks import Part, Task, levels_of
from tooncrafter_core.batch.work import Worker
from tooncrafter_core.sampling.coarse_to_fine import Run

STEPS = 2


def long_shots(folder: Path, count: int, frames: str, **fields: object) -> list[Shot]:
    keyframes = ["first.png", "last.png"] * 2
    return make_shots(folder, count, keyframes=keyframes[: frames.count(",") + 2], frames=frames, **fields)


def drawn(
    shots: Sequence[Shot], results: Results, failing: Failing = lambda task: None, workers: int = 1
) -> tuple[Report, HerePool]:
    pool = HerePool([Worker(SleepingModel(), results) for _ in range(workers)], failing)
    return run(shots, results, plan(shots, results, ["w"], trained=16, whole=False), pool), pool


def parts_of(shot: Shot, has: Sequence[Part] = ()) -> list[list[tuple[Part | None, int]]]:
    """What each level draws, and the steps it takes."""
    levels = levels_of(shot, "key", plans_of(shot), lambda part: part in has)
    return [[(task.part, task.steps) for task in level] for level in levels]


@pytest.fixture
def results(tmp_path: Path) -> Results:
    return Results(tmp_path / "out")


def test_levels(tmp_path: Path) -> None:
    (mixed,) = long_shots(tmp_path, 1, "46, 3, 17")
    fine = [Run(0, 1), Run(0, 2), Run(0, 3), Run(2, 1), Run(2, 2)]
    assert parts_of(mixed) == [
        [(Run(0, 0), STEPS), (Run(2, 0), STEPS), (1, STEPS)],
        [(part, STEPS) for part in fine],
        [(0, 0), (2, 0)],
        [(None, 0)],
    ]
    there = [Run(0, 0), Run(0, 2), 1, 2]
    assert parts_of(mixed, there) == [[(Run(0, 1), STEPS), (Run(0, 3), STEPS)], [(0, 0)], [(None, 0)]]
    assert parts_of(mixed, [*fine, 1, 2]) == [[(0, 0)], [(None, 0)]], "no coarse run whose fine runs are there"
    (alone,), (short,) = long_shots(tmp_path, 1, "17"), long_shots(tmp_path, 1, "16")
    assert parts_of(alone) == [[(Run(0, 0), STEPS)], [(Run(0, 1), STEPS), (Run(0, 2), STEPS)], [(None, 0)]]
    assert parts_of(short) == [[(None, STEPS)]]


@pytest.mark.parametrize("workers", [1, 2, 5])
def test_shots_are_finished_one_after_another(workers: int, results: Results, tmp_path: Path) -> None:
    """A level waits for all of the one before, and goes ahead of shots that come later."""
    shots = long_shots(tmp_path, 3, "31, 3, 46", retiming={"hold": 2})
    report, pool = drawn(shots, results, workers=workers)
    assert not report.failures and not list(results.folder.glob("parts/*"))
    for shot in shots:
        levels = levels_of(shot, "key", plans_of(shot), lambda part: False)
        level_of = {task.part: number for number, level in enumerate(levels) for task in level}
        order = [level_of[task.part] for task in pool.done if task.shot == shot]
        assert order == sorted(order) and len(order) == len(level_of)
    assert len([task for task in pool.done if task.part is None]) == len(shots)
    assert workers > 1 or [task.shot.name for task in pool.done] == sorted(task.shot.name for task in pool.done)
    whole = Results(tmp_path / "whole")
    drawer = Worker(SleepingModel(), whole)
    for task in plan(shots, whole, ["w"], trained=16, whole=True).tasks:
        drawer.do(task)
    assert drawer.steps == 8 * STEPS and files_of(whole) == files_of(results)


def test_a_stopped_run_goes_on_with_what_is_missing(results: Results, tmp_path: Path) -> None:
    """Each time one task is done before it is stopped."""
    (shot,) = long_shots(tmp_path, 1, "46")
    done = list[Part | None]()
    while not results.record(shot.name):
        pool = HerePool([Worker(SleepingModel(), results)])
        pool.failing = lambda task, pool=pool: KeyboardInterrupt() if pool.done else None  # type: ignore[misc]
        with suppress(KeyboardInterrupt):
            run([shot], results, plan([shot], results, ["w"], trained=16, whole=False), pool)
        done += [task.part for task in pool.done]
    assert done == [Run(0, 0), Run(0, 1), Run(0, 2), Run(0, 3), None]


def test_a_part_that_cannot_be_read_is_a_task_again(results: Results, tmp_path: Path) -> None:
    """One that is cut short, or of an earlier version under another name; its seconds are not the shot's."""
    (shot,) = long_shots(tmp_path, 1, "46, 3, 3")

    def failing(task: Task) -> BaseException | None:
        return KeyboardInterrupt() if task.part is None else None

    with suppress(KeyboardInterrupt):
        drawn([shot], results, failing)
    (key,) = (path.name for path in results.folder.glob("parts/*/*"))
    segments = sorted(results.folder.glob("parts/*/*/????.safetensors"))
    save_file({"frames": torch.zeros(3, 46, 2, 2)}, segments[0], {"seconds": "1000"})
    segments[1].write_bytes(segments[1].read_bytes()[:-8])
    assert results.parts(shot.name, key).seconds() < 1000
    report, pool = drawn([shot], results)
    assert [task.part for task in pool.done] == [1, 0, None]
    assert not report.failures and report.records[shot.name].seconds < 1000


def test_parts_of_an_earlier_input_go_once_the_shot_is_finished(results: Results, tmp_path: Path) -> None:
    """Not before, and none of another shot's; nor what somebody else has put there."""
    shots = long_shots(tmp_path, 2, "46")
    first, other = plan(shots, results, ["w"], trained=16, whole=False).work
    drawer = Worker(SleepingModel(), results)
    drawer.do(first[0][0])
    drawer.do(other[0][0])
    note = results.folder / "parts" / shots[0].name / "note.txt"
    note.write_text("keep me")
    before = set(results.folder.glob("parts/*/*/*"))
    changed = replace(shots[0], settings=replace(shots[0].settings, seed=9))
    changed_first, _ = plan([changed, shots[1]], results, ["w"], trained=16, whole=False).work
    drawer.do(changed_first[0][0])
    assert before < set(results.folder.glob("parts/*/*/*"))
    drawn([changed], results)
    kept = {path for path in before if path.parts[-3] == shots[1].name}
    assert set(results.folder.glob("parts/*/*/*")) == kept != before
    assert note.read_text() == "keep me"


def test_parts_of_a_shot_that_is_there_go(results: Results, tmp_path: Path) -> None:
    """Its input was changed and changed back, or the run was killed between its result and its parts' end."""
    (shot,) = long_shots(tmp_path, 1, "46")
    drawn([shot], results)
    changed = replace(shot, settings=replace(shot.settings, seed=9))
    Worker(SleepingModel(), results).do(plan([changed], results, ["w"], trained=16, whole=False).tasks[0])
    assert list(results.folder.glob("parts/*"))
    assert len(drawn([shot], results)[0].kept) == 1
    assert not list(results.folder.glob("parts/*"))


@dataclass
class Watched:
    """What a run tells of its progress."""

    done: list[int] = field(default_factory=list)
    ended: list[tuple[str, str | None]] = field(default_factory=list)

    def steps(self, done: int) -> None:
        self.done.append(done)

    def shot(self, name: str, failure: str | None) -> None:
        self.ended.append((name, failure))


def test_steps_of_all_runs_are_told(results: Results, tmp_path: Path) -> None:
    shots = long_shots(tmp_path, 2, "31, 3")
    work, watched = plan(shots, results, ["w"], trained=16, whole=False), Watched()
    assert sum(task.steps for task in work.tasks) == 2 * 4 * STEPS
    Dispatch(HerePool([Worker(SleepingModel(), results)]), watched).run(work.work)
    assert watched.done == sorted(watched.done) and watched.done[-1] == 2 * 4 * STEPS
    assert watched.ended == [("shot0000", None), ("shot0001", None)]


def test_a_run_that_fails_ends_its_shot(results: Results, tmp_path: Path) -> None:
    shots = long_shots(tmp_path, 2, "46")
    shots[0] = replace(shots[0], settings=replace(shots[0].settings, prompt="ValueError 2"))
    report, pool = drawn(shots, results)
    assert report.failures == {"shot0000": "it cannot be drawn"} and list(report.records) == ["shot0001"]
    assert [task.part for task in pool.done if task.shot == shots[0]] == [Run(0, 0), Run(0, 1), Run(0, 2)]


def test_a_run_whose_worker_is_lost_is_tried_again_alone(results: Results, tmp_path: Path) -> None:
    (shot,) = long_shots(tmp_path, 1, "46")
    lost = iter([WorkerLostError("it was lost")])
    report, pool = drawn([shot], results, lambda task: next(lost, None) if task.part == Run(0, 2) else None)
    assert not report.failures
    assert [task.part for task in pool.done] == [Run(0, 0), Run(0, 1), Run(0, 2), Run(0, 3), Run(0, 2), None]


@pytest.mark.parametrize("metadata", [None, {}, {"seconds": "many"}])
def test_a_part_that_does_not_say_what_it_took_is_drawn_again(
    metadata: dict[str, str] | None, results: Results
) -> None:
    parts = results.parts("hop", "0" * 32)
    parts.write(0, torch.zeros(3, 2, 2, 2), 1.5)
    parts.write(1, torch.zeros(3, 2, 2, 2), 2.0)
    save_file({"drawn": torch.zeros(3, 2, 2, 2)}, parts.folder / "0000.safetensors", metadata)
    assert not parts.has(0) and parts.has(1)
    assert parts.seconds() == 2.0
