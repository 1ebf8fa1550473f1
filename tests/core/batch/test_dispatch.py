"""Tasks are handed out until every shot is drawn or has failed, whoever draws; and what is there is not drawn again."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from here_pool import Failing, HerePool
from PIL import Image
from simulated_shots import SleepingModel, files_of, make_shots

from tooncrafter_core.batch.plan import Plan, plan
from tooncrafter_core.batch.report import Report
from tooncrafter_core.batch.results.digest import WeightDigests, shot_key
from tooncrafter_core.batch.results.store import Results
from tooncrafter_core.batch.run import run
from tooncrafter_core.batch.runners.dispatch import ATTEMPTS, WorkerLostError
from tooncrafter_core.batch.shots.shot import Shot
from tooncrafter_core.batch.tasks import Task
from tooncrafter_core.batch.work import Worker


@pytest.fixture
def results(tmp_path: Path) -> Results:
    return Results(tmp_path / "out")


def planned(shots: Sequence[Shot], results: Results, weights: Sequence[str] = ("w",)) -> Plan:
    return plan(shots, results, weights, trained=16, whole=False)


def drawn(shots: Sequence[Shot], results: Results, failing: Failing = lambda task: None) -> tuple[Report, HerePool]:
    pool = HerePool([Worker(SleepingModel(), results)], failing)
    return run(shots, results, planned(shots, results), pool), pool


def test_nothing_is_drawn_twice(results: Results, tmp_path: Path) -> None:
    shots = make_shots(tmp_path, 3)
    shots.append(replace(shots[0], name="again"))
    report, pool = drawn(shots, results)
    assert len(pool.done) == 3 and report.kept == {"again"}
    files = files_of(results)
    assert len(files) == 12
    assert files["shots/again/0001.png"] == files["shots/shot0000/0001.png"] != files["shots/shot0001/0001.png"]

    renamed = [*shots, replace(shots[1], name="renamed")]
    report, pool = drawn(renamed, results)
    assert (pool.entered, len(report.kept)) == (0, 5)
    assert files_of(results)["shots/renamed/0001.png"] == files["shots/shot0001/0001.png"]

    (results.frames("shot0002") / "0001.png").unlink()
    changed = [shots[0], replace(shots[1], settings=replace(shots[1].settings, seed=9)), shots[2]]
    assert [task.shot.name for task in drawn(changed, results)[1].done] == ["shot0001", "shot0002"]


def test_what_is_not_whole_is_drawn_again(results: Results, tmp_path: Path) -> None:
    """A frame that a power cut has left empty, and records that were changed by hand."""
    (shot,) = make_shots(tmp_path, 1)
    drawn([shot], results)
    record = results.folder / "shots" / f"{shot.name}.json"
    (results.frames(shot.name) / "0001.png").write_bytes(b"")
    assert len(drawn([shot], results)[1].done) == 1
    for wrong in ('"seconds": null', '"frames": Infinity', '"frames": "many"'):
        record.write_text(record.read_text().replace("}", f", {wrong}}}"))
        assert len(drawn([shot], results)[1].done) == 1
    record.write_text("[" * 100000)
    assert len(drawn([shot], results)[1].done) == 1
    record.write_text(record.read_text().replace("}", ', "seconds": "7", "worker": null}'))
    assert len(drawn([shot], results)[0].kept) == 1


def test_a_shot_whose_strip_is_gone_is_kept_under_another_name(results: Results, tmp_path: Path) -> None:
    (shot,) = make_shots(tmp_path, 1)
    drawn([shot], results)
    results.frame_strip(shot.name).unlink()
    report, pool = drawn([replace(shot, name="renamed")], results)
    assert report.kept == {"renamed"} and not pool.done


def test_names_that_moved_on(results: Results, tmp_path: Path) -> None:
    """A new shot at the front takes a name of the old ones, each of which has the next one's now."""
    shots = make_shots(tmp_path, 4)
    drawn(shots[:3], results)
    before = files_of(results)
    moved = [replace(shot, name=shots[(number + 1) % 4].name) for number, shot in enumerate(shots)]
    report, pool = drawn(moved, results)
    assert [task.shot.name for task in pool.done] == ["shot0000"] and len(report.kept) == 3
    for number in range(3):
        old, new = f"shots/shot{number:04}/0001.png", f"shots/shot{number + 1:04}/0001.png"
        assert files_of(results)[new] == before[old]

    swapped = [replace(moved[0], name=moved[1].name), replace(moved[1], name=moved[0].name)]
    assert len(drawn(swapped, results)[1].done) == 1
    assert not planned(swapped, results).tasks


@pytest.mark.parametrize("over", ["strips/shot0001.png", "shots/shot0001/0001.png"])
def test_what_was_drawn_over_stays_where_names_move_on(over: str, results: Results, tmp_path: Path) -> None:
    first, second = make_shots(tmp_path, 2)
    drawn([first, second], results)
    Image.new("RGB", (16, 16), "red").save(results.folder / over)
    before = (results.folder / over).read_bytes()
    with pytest.raises(ValueError, match="would be lost"):
        planned([replace(first, name=second.name)], results)
    assert (results.folder / over).read_bytes() == before and results.record(second.name)


def test_what_a_key_depends_on(tmp_path: Path) -> None:
    (shot,) = make_shots(tmp_path, 1)
    key = shot_key(shot, ["w"])
    assert shot_key(replace(shot, name="other"), ["w"]) == key
    settings = [replace(shot.settings, width=24), replace(shot.settings, loop=True)]
    others = [replace(shot, counts=(4,)), *(replace(shot, settings=each) for each in settings)]
    assert len({key, shot_key(shot, ["v"]), *(shot_key(each, ["w"]) for each in others)}) == 5
    Image.new("RGB", (16, 16), "red").save(tmp_path / "first.png")
    assert shot_key(shot, ["w"]) != key


def test_a_weight_file_is_read_once_until_it_changes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "model"
    file.write_bytes(b"one")
    first = WeightDigests(tmp_path / "kept.json").of(file)
    with monkeypatch.context() as patch:
        patch.setattr("tooncrafter_core.batch.results.digest.file_digest", lambda path: "read again")
        assert WeightDigests(tmp_path / "kept.json").of(file) == first
        (tmp_path / "kept.json").write_text("[" * 100000)
        assert WeightDigests(tmp_path / "kept.json").of(file) == "read again"
        file.write_bytes(b"other")
        assert WeightDigests(tmp_path / "kept.json").of(file) == "read again"


def test_segments_come_from_several_tasks_and_from_an_earlier_run(results: Results, tmp_path: Path) -> None:
    keyframes = ["first.png", "last.png", "first.png", "last.png"]
    (shot,) = make_shots(tmp_path, 1, keyframes=keyframes, frames="3, 4, 5", retiming={"hold": 2})
    tasks = planned([shot], results).tasks
    assert [task.part for task in tasks] == [0, 1, 2, None]
    Worker(SleepingModel(), results).do(tasks[1])
    _, pool = drawn([shot], results)
    assert [task.part for task in pool.done] == [0, 2, None]
    files = files_of(results)
    assert len(files) == 10
    assert not list(results.folder.glob("parts/*"))
    whole = Results(tmp_path / "whole")
    Worker(SleepingModel(), whole).do(replace(tasks[-1]))
    assert files_of(whole) == files


def test_failures_are_told_and_the_others_go_on(results: Results, tmp_path: Path) -> None:
    shots = make_shots(tmp_path, 4)
    shots[1] = replace(shots[1], settings=replace(shots[1].settings, prompt="ValueError"))
    shots[2] = replace(shots[2], keyframes=(tmp_path / "gone.png", shots[2].keyframes[1]))
    report, _ = drawn(shots, results)
    assert list(report.records) == ["shot0000", "shot0003"]
    assert report.failures["shot0001"] == "it cannot be drawn"
    assert "gone.png" in report.failures["shot0002"]
    assert "4 shots: 2 drawn, 0 kept, 2 failed" in report.summary()
    page = results.report.read_text()
    assert "it cannot be drawn" in page and "strips/shot0003.png" in page and results.frame_strip("shot0003").is_file()


@pytest.mark.parametrize(
    ("error", "tries"),
    [
        (WorkerLostError("it was lost"), ATTEMPTS),
        (OSError("no room"), ATTEMPTS),
        (FileNotFoundError("gone"), 1),
        (KeyError("bug"), 1),
    ],
    ids=repr,
)
def test_what_may_pass_is_tried_again(error: Exception, tries: int, results: Results, tmp_path: Path) -> None:
    shots = make_shots(tmp_path, 2)
    failed = Counter[str]()

    def failing(task: Task) -> BaseException | None:
        failed[task.shot.name] += 1
        return error if task.shot.name == "shot0000" else None

    report, _ = drawn(shots, results, failing)
    assert failed == {"shot0000": tries, "shot0001": 1}
    assert str(error.args[0]) in report.failures["shot0000"]
    assert ("tried 5 times" in report.failures["shot0000"]) == (tries > 1)
    once = Counter[str]()

    def failing_once(task: Task) -> BaseException | None:
        once[task.shot.name] += 1
        return error if once[task.shot.name] == 1 else None

    assert (len(drawn(shots, results, failing_once)[0].failures) == 0) == (tries > 1)
