"""The study's page in Chromium, opened as a file, as those who answer it use it."""

from __future__ import annotations

import csv
import io
import json
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from comfy_harness.browser import FLAGS, find_chromium
from PIL import Image
from playwright.sync_api import Page, sync_playwright

from tooncrafter_core.evaluation.clips import Clip
from tooncrafter_core.evaluation.comparison.study import Trial, columns_of, draw_trials, study_page
from tooncrafter_core.files.media import write_contact_sheet

FRAMES = 5
COLOURS = {"A": (1.0, 0.0, 0.0), "B": (0.0, 0.0, 1.0)}
TRIALS = [Trial("x", "A", "B"), Trial('y "2" </script>', "B", "A"), Trial("x", "B", "A")]
READY = "number => films && answers.length === number && document.getElementById('films').dataset.frame"


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two clips of two methods; the films are of one colour each, which says who is on which side."""
    folder = tmp_path_factory.mktemp("study")
    for method, colour in COLOURS.items():
        frames = torch.tensor(colour)[None, :, None, None].expand(FRAMES, -1, 16, 24)
        write_contact_sheet(frames, folder / f"{method}.png", columns_of(FRAMES))
    clips = [Clip(name, (Path("frame.png"),) * FRAMES) for name in sorted({trial.clip for trial in TRIALS})]
    page = folder / "study.html"
    page.write_text(study_page(TRIALS, clips, lambda clip, method: f"{method}.png"), encoding="utf-8")
    return page


@pytest.fixture(scope="module")
def page(study: Path) -> Iterator[Page]:
    if find_chromium() is None:
        pytest.skip("no Chromium is installed")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=find_chromium(), args=list(FLAGS))
        try:
            opened = browser.new_page()
            opened.goto(study.as_uri())
            yield opened
        finally:
            browser.close()


def answered(page: Page, folder: Path) -> list[dict[str, str]]:
    """What the downloaded file says."""
    with page.expect_download() as download:
        page.get_by_role("button", name="Download").click()
    path = folder / "answers.csv"
    download.value.save_as(path)
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def colour(page: Page, side: str) -> tuple[int, ...]:
    """What the middle of a film shows; the canvas itself gives no pixels of files away."""
    shot = Image.open(io.BytesIO(page.locator(f"#{side}").screenshot())).convert("RGB")
    return tuple(shot.getpixel((shot.width // 2, shot.height // 2)))


def ready(page: Page, number: int) -> None:
    page.wait_for_function(READY, arg=number)


def test_a_study_is_answered_by_keys_and_downloaded(page: Page, study: Path) -> None:
    ready(page, 0)
    assert (colour(page, "left"), colour(page, "right")) == ((255, 0, 0), (0, 0, 255))
    assert page.evaluate("[left.width, left.height, right.width, right.height]") == [24, 16, 24, 16]
    assert "Pair 1 of 3" in page.locator("#progress").inner_text()
    page.keyboard.press("ArrowLeft")
    ready(page, 1)
    page.keyboard.press("ArrowDown")
    ready(page, 2)
    page.keyboard.press("Backspace")
    ready(page, 1)
    page.keyboard.press("ArrowRight")
    ready(page, 2)
    page.reload()  # nothing is lost
    ready(page, 2)
    assert len(answered(page, study.parent)) == 2
    page.get_by_role("button", name="No difference").click()
    page.get_by_text("All 3 pairs are answered").wait_for()
    assert page.locator("#question").is_hidden()
    rows = answered(page, study.parent)
    assert [row["answer"] for row in rows] == ["left", "right", "same"]
    assert [row["better"] for row in rows] == ["A", "A", ""]
    assert [(row["clip"], row["left"], row["right"]) for row in rows] == [(t.clip, t.left, t.right) for t in TRIALS]
    assert all(float(row["seconds"]) >= 0 for row in rows)


def test_space_stops_both_films(page: Page) -> None:
    page.evaluate("keep([])")
    ready(page, 0)
    page.locator("body").click(position={"x": 5, "y": 5})
    page.keyboard.press(" ")
    assert page.locator("#pause").get_attribute("aria-pressed") == "true"
    page.evaluate("new Promise(requestAnimationFrame)")
    frame = page.evaluate("document.getElementById('films').dataset.frame")
    page.wait_for_timeout(300)
    assert page.evaluate("document.getElementById('films').dataset.frame") == frame
    page.keyboard.press(" ")
    page.wait_for_function("frame => document.getElementById('films').dataset.frame !== frame", arg=frame)


def test_trials_are_the_seeds_and_every_pair_comes_equally_often() -> None:
    clips, methods = [f"clip {number}" for number in range(7)], ["a", "b", "c"]
    trials = draw_trials(clips, methods, 20, seed=1)
    assert trials == draw_trials(clips, methods, 20, seed=1) != draw_trials(clips, methods, 20, seed=2)
    counts = Counter(frozenset((trial.left, trial.right)) for trial in trials)
    assert len(counts) == 3 and set(counts.values()) == {6, 7}
    assert len({(trial.clip, frozenset((trial.left, trial.right))) for trial in trials}) == 20
    assert len(draw_trials(clips, methods, 1000, seed=1)) == 7 * 3
    assert draw_trials(clips, ["a"], 20, seed=1) == []


def test_methods_are_not_in_the_names_of_films() -> None:
    text = study_page(TRIALS, [Clip("x", ()), Clip(TRIALS[1].clip, ())], lambda clip, method: "films/0001.png")
    data = text.partition('id="study">')[2].partition("</script>")[0]
    assert [trial["clip"] for trial in json.loads(data)["trials"]] == [trial.clip for trial in TRIALS]
