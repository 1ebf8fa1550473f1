"""Films become a clip list that the trainings read, once, whatever is broken off."""

from __future__ import annotations

import json
from collections.abc import Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from accelerate.state import AcceleratorState
from drawn_film import FPS, SHOT, flicker, pan, write_film
from small_training import make_workshop

from tooncrafter_core.data.prepare import pipeline, ray_runner, report
from tooncrafter_core.data.prepare.__main__ import main
from tooncrafter_core.data.prepare.film import Film, open_film
from tooncrafter_core.data.prepare.pipeline import LIST, here, open_films, prepare
from tooncrafter_core.data.prepare.settings import Duplicates, Motion, Settings, Shots, Split
from tooncrafter_core.data.prepare.stages.text_area import share
from tooncrafter_core.data.prepare.work import Step
from tooncrafter_core.training.__main__ import main as train
from tooncrafter_core.training.clips.manifest import read_manifest
from tooncrafter_core.training.clips.stream import ClipStream, Cut, Sample


class Recorder:
    """A runner that counts what it is asked for, and breaks off after some items."""

    def __init__(self, most: int | None = None) -> None:
        self.items: list[Any] = []
        self.most = most

    def __call__(self, steps: Sequence[Step], items: Sequence[Any]) -> None:
        for item in items:
            if len(self.items) == self.most:
                raise KeyboardInterrupt
            here(steps, [item])
            self.items.append(item)


def test_every_stretch_is_kept_or_falls_for_its_reason(film: Film, tmp_path: Path) -> None:
    outcome = prepare([film], Settings(), tmp_path, here)
    assert outcome.found[0]["shots"] == 5
    assert [item.stretch.first for item in outcome.items] == [0, SHOT, 2 * SHOT, 3 * SHOT]
    assert [item.fault for item in outcome.items] == [None, "still", None, "duplicate"]


def test_a_report_that_cannot_be_written_is_told(film: Film, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """After the work, where that could not be known; else before it."""
    page = tmp_path / report.PAGE

    def prepared(*_: object) -> pipeline.Outcome:
        page.mkdir()
        return pipeline.Outcome([film], [], [], {}, [])

    monkeypatch.setattr(pipeline, "prepare", prepared)
    monkeypatch.setattr(ray_runner, "started", lambda _: nullcontext(here))
    assert main([str(film.path), "--out", str(tmp_path)]) == 1
    monkeypatch.setattr(pipeline, "prepare", lambda *_: pytest.fail("it was begun"))
    assert main([str(film.path), "--out", str(tmp_path)]) == 2
    page.rmdir()
    page.write_text("mine")
    assert main([str(film.path), "--out", str(tmp_path)]) == 2
    assert page.read_text() == "mine"


def test_motion_is_the_way_in_px_of_the_clip(film: Film, tmp_path: Path) -> None:
    outcome = prepare([film], Settings(), tmp_path, here)
    assert outcome.clips[0].motion == pytest.approx(2 * 15, rel=0.1)


def test_flicker_falls(tmp_path: Path) -> None:
    film = open_film(write_film(tmp_path / "flicker.mp4", flicker(1)))
    (item,) = prepare([film], Settings(shots=Shots(least_change=255)), tmp_path / "out", here).items
    assert item.fault == "flickering"


def test_the_trainings_read_the_list(film: Film, tmp_path: Path) -> None:
    prepare([film], Settings(), tmp_path, here)
    clips = read_manifest(tmp_path / LIST)
    assert [clip.split for clip in clips] == ["train", "train"]
    sample = ClipStream(clips, Cut(16, 64, 64), seed=0, draws=1)[0]
    assert isinstance(sample, Sample)
    assert (sample.video.shape, sample.fps) == ((16, 3, 64, 64), FPS)


def test_a_training_takes_the_list_as_it_is(film: Film, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """And so the folder that has it."""
    prepare([film], Settings(), tmp_path, here)
    (tmp_path / "workshop").mkdir()
    workshop, settings = make_workshop(tmp_path / "workshop"), tmp_path / "settings.json"
    monkeypatch.setenv("ACCELERATE_USE_CPU", "true")
    for clips in (tmp_path / LIST, tmp_path):
        output = tmp_path / f"run-{clips.name}"
        changes = {"clips": str(clips), "domains": [Settings().clips.domain], "steps": 2}
        settings.write_text(json.dumps(workshop.entries("autoencoder", output, **changes)))
        with torch.enable_grad():
            assert train(["autoencoder", "--config", str(settings)]) == 0
        AcceleratorState._reset_state(reset_partial_state=True)
        assert (output / "metrics.csv").read_text().splitlines()[2].startswith("2,")


def test_broken_off_anywhere_it_goes_on_and_gives_the_same_list(film: Film, tmp_path: Path) -> None:
    whole = Recorder()
    prepare([film], Settings(), tmp_path / "whole", whole)
    assert len(whole.items) == 1 + 4 + 2
    for most in (0, 1, 3, 6):  # before the shots, after them, among the stretches, among the clips
        broken, rest = Recorder(most), Recorder()
        with pytest.raises(KeyboardInterrupt):
            prepare([film], Settings(), tmp_path / str(most), broken)
        assert not (tmp_path / str(most) / LIST).exists()
        prepare([film], Settings(), tmp_path / str(most), rest)
        assert len(rest.items) == len(whole.items) - most
        assert (tmp_path / str(most) / LIST).read_bytes() == (tmp_path / "whole" / LIST).read_bytes()


def test_other_limits_measure_nothing_anew(film: Film, tmp_path: Path) -> None:
    prepare([film], Settings(), tmp_path, here)
    told = Settings(motion=Motion(least=0), duplicates=Duplicates(distance=-1))
    again = Recorder()
    outcome = prepare([film], told, tmp_path, again)
    assert len(outcome.clips) == 4
    assert len(again.items) == 1 + 2  # the still one's later stages, and two more clips


def test_long_shots_are_divided(film: Film, tmp_path: Path) -> None:
    settings = Settings(shots=Shots(shortest=10, longest=12))
    outcome = prepare([film], settings, tmp_path, here)
    assert [(item.stretch.first, item.stretch.frames) for item in outcome.items[:3]] == [(0, 12), (12, 12), (30, 12)]


def test_clips_begin_and_end_where_their_shots_do(film: Film, tmp_path: Path) -> None:
    clips = prepare([film], Settings(), tmp_path, here).clips
    cut = Cut(SHOT, film.width, film.height)
    for clip, seed in zip(clips, (1, 2), strict=True):
        sample = ClipStream([clip], cut, seed=0, draws=1)[0]
        assert isinstance(sample, Sample)
        shown = sample.video.flip(-1) if sample.flipped else sample.video
        for drawn, frame in zip(pan(seed), shown.permute(0, 2, 3, 1).numpy(), strict=True):
            assert np.abs(drawn.astype(float) - frame).mean() < 8


def test_a_damaged_film_gives_what_can_be_read_of_it(film: Film, tmp_path: Path) -> None:
    path = write_film(tmp_path / "cut.mkv", [*pan(11), *pan(12)])
    path.write_bytes(path.read_bytes()[: path.stat().st_size * 2 // 3])
    outcome = prepare([open_film(path), film], Settings(), tmp_path / "out", here)
    assert {clip.source.partition("-")[0] for clip in outcome.clips} == {"all kinds", "cut"}


def test_films_are_held_out_whole_in_any_order(film: Film, tmp_path: Path) -> None:
    other = open_film(write_film(tmp_path / "other.mp4", pan(5)))
    settings = Settings(split=Split(held_out=0.5))
    one = prepare([film, other], settings, tmp_path / "one", here)
    prepare([other, film], settings, tmp_path / "two", here)
    assert {clip.split for clip in one.clips} == {"train", "held_out"}
    assert (tmp_path / "one" / LIST).read_bytes() == (tmp_path / "two" / LIST).read_bytes()


def test_the_report_counts_everything(film: Film, tmp_path: Path) -> None:
    outcome = prepare([film], Settings(), tmp_path, here)
    page = report.write(outcome, Settings(), tmp_path).read_text()
    report.check(tmp_path)
    for row in ("stretches<td>5", "too short<td>1", "still<td>1", "duplicate<td>1", "clips: train<td>2"):
        assert row in page
    assert (tmp_path / "report" / "motion.jpg").exists()


@pytest.mark.parametrize("content", [None, b"", b"no video at all"])
def test_what_is_no_film_is_refused(content: bytes | None, tmp_path: Path) -> None:
    path = tmp_path / "film.mp4"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(ValueError, match=r"film\.mp4.*expected"):
        open_films([path])


def test_a_film_that_comes_twice_is_refused(film: Film, tmp_path: Path) -> None:
    copy = tmp_path / "copy.mp4"
    copy.write_bytes(film.path.read_bytes())
    with pytest.raises(ValueError, match="the same content"):
        open_films([film.path, copy])


def test_a_damaged_result_is_named(film: Film, tmp_path: Path) -> None:
    prepare([film], Settings(), tmp_path, here)
    (result,) = (tmp_path / "results" / "shots").rglob("*.json")
    result.write_text("{")
    with pytest.raises(ValueError, match="delete it"):
        prepare([film], Settings(), tmp_path, here)


def test_text_is_counted_as_wide_as_it_is() -> None:
    probable = np.zeros((100, 200))
    probable[48:52, 50:150] = 0.9  # text is 3 px more on each side: 1.5 x 400 / 208
    assert share(probable) == pytest.approx(106 * 10 / (100 * 200))
