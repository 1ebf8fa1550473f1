"""Lists of shots, and folders and exposure sheets that become lists: what is read, and what is said of mistakes."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from PIL import Image

from tooncrafter_core.__main__ import main
from tooncrafter_core.batch.shots.retiming import Retiming
from tooncrafter_core.batch.shots.shot_list import ShotListError, read_shots

GOOD = {"name": "hop", "keyframes": ["keys/1.png", "keys/9.png"]}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Keyframes 1, 9 and 10 in `keys`."""
    (tmp_path / "keys").mkdir()
    for number in (1, 9, 10):
        Image.new("RGB", (8, 8)).save(tmp_path / "keys" / f"{number}.png")
    return tmp_path


def write(folder: Path, *lines: object) -> Path:
    path = folder / "shots.jsonl"
    path.write_text("".join((line if isinstance(line, str) else json.dumps(line)) + "\n" for line in lines))
    return path


def test_a_list_is_read(folder: Path) -> None:
    more = {"frame_numbers": [1, 9, 25], "sketches": {"5": "keys/9.png", "50%@0.5": "keys/1.png"}, "seed": 3}
    timed = {"name": "step", "retiming": {"hold": 2}, "loop": True, "frames": "4, 5"}
    path = write(folder, {**GOOD, "keyframes": "keys", **more}, "", {**GOOD, **timed})
    first, second = read_shots(path, {"steps": 4, "frames": 7, "width": 64, "seed": 1})
    assert [file.name for file in first.keyframes] == ["1.png", "9.png", "10.png"]
    assert (first.counts, first.total, first.settings.width, first.settings.seed, first.settings.steps) == (
        (9, 17),
        25,
        64,
        3,
        4,
    )
    assert [(s.frame, s.picture.name, s.strength) for s in first.sketches] == [(4, "9.png", None), (12, "1.png", 0.5)]
    assert (second.counts, second.total, second.settings.loop, second.settings.seed) == ((4, 5), 7, True, 1)
    assert second.retiming == Retiming(hold=2)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("{", "no JSON"),
        ("[1]", "a JSON list; expected an object"),
        ('{"name": "a", "name": "b"}', "name comes twice"),
        ('{"name": "a", "seed": ' + "9" * 5000 + "}", "a number of 5000 digits; expected at most 20"),
        ({**GOOD, "promt": "x"}, "'promt' is unknown; expected prompt"),
        ({"name": "a"}, "keyframes is None; expected a folder, or a list"),
        ({**GOOD, "name": "../a"}, "name is '../a'; expected up to 100 letters"),
        ({**GOOD, "keyframes": ["keys/2.png"]}, "no picture or folder 'keys/2.png'"),
        ({**GOOD, "keyframes": ["keys/1.png"]}, "got 1 keyframe(s)"),
        ({**GOOD, "steps": 0}, "steps is 0; expected 1 to 1000"),
        ({**GOOD, "frames": 1}, "frames is 1"),
        ({**GOOD, "frames": 9, "frame_numbers": [1, 9]}, "give one of them"),
        ({**GOOD, "frame_numbers": [9, 1]}, "frame_numbers goes from 9 to 1"),
        ({**GOOD, "frame_numbers": [1, 5, 9]}, "has 3 numbers; expected one for each of 2"),
        ({**GOOD, "frame_numbers": [101, 109], "sketches": {"5": "keys/1.png"}}, "frame 5; expected 101 to 109"),
        ({**GOOD, "sketches": {"16": "keys/1.png"}}, "16 is out of range"),
        ({**GOOD, "sketches": {"5": "keys"}}, "has 3 file(s)"),
        ({**GOOD, "width": "64"}, "width is '64'"),
        ({**GOOD, "loop": 1}, "loop is 1; expected True or False"),
        ({**GOOD, "fit": "cover"}, "fit is 'cover'"),
        ({**GOOD, "retiming": {"speed": 2}}, "retiming is"),
        ({**GOOD, "retiming": {"curve": "sine in"}}, "need a length"),
        ({**GOOD, "retiming": {"hold": 0}}, "hold is 0; expected a whole number from 1 to 16"),
        ({**GOOD, "name": "unfinished-hop"}, "name is unfinished-hop; results in work"),
        ({**GOOD, "prompt": "\ud800"}, "half of a character"),
        ({**GOOD, "name": "HOP"}, "name is HOP, as in line 1"),
    ],
    ids=lambda given: str(given)[:60],
)
def test_what_is_wrong_is_named_with_its_line(line: object, message: str, folder: Path) -> None:
    path = write(folder, GOOD, "", line, {**GOOD, "name": "last", "eta": 2})
    with pytest.raises(ShotListError) as raised:
        read_shots(path)
    assert str(raised.value).startswith(f"{path}, line 3: ")
    assert message in str(raised.value)
    assert str(raised.value).endswith("Also wrong: line 4")


def test_an_empty_list(folder: Path) -> None:
    with pytest.raises(ShotListError, match="has no shots"):
        read_shots(write(folder))


def test_retiming() -> None:
    frames = torch.arange(7.0)[:, None, None, None].expand(7, 3, 2, 2)
    held = Retiming(length=5, hold=2).apply(frames, (4, 4))
    assert held[:, 0, 0, 0].tolist() == [0, 0, 2, 2, 3, 3, 5, 5, 6]
    assert torch.equal(Retiming().apply(frames, (4, 4)), frames)


def test_a_folder_becomes_a_list(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = folder.parent / f"{folder.name}_lists" / "shots.jsonl"
    assert main(["shots", str(folder / "keys"), "-o", str(path)]) == 0
    assert "1 shots, 10 frames" in capsys.readouterr().out
    assert read_shots(path)[0].counts == (9, 2)
    assert main(["shots", str(folder), "-o", str(folder / "shots.jsonl"), "--frames", "16"]) == 0
    assert [(shot.name, shot.counts) for shot in read_shots(folder / "shots.jsonl")] == [("keys", (16, 16))]


def test_numbers_that_leave_no_frames(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "keys" / "1.png").unlink()
    assert main(["shots", str(folder / "keys"), "-o", str(folder / "shots.jsonl")]) == 2
    assert "numbered 9 to 10, which leaves no frames" in capsys.readouterr().err
    assert not (folder / "shots.jsonl").exists()


def test_an_exposure_sheet_becomes_a_list(folder: Path) -> None:
    (folder / "sheet.csv").write_text(
        "shot,frame,keyframe,sketch,prompt,seed\n"
        "a,101,keys/1.png,,a hop,7\n,,,,,\na,105,,keys/9.png@0.5,,\na,109,keys/10.png,,,7\nb,1,keys/1.png,,,\n"
        "b,4,keys/9.png,,,\n"
    )
    assert main(["shots", str(folder / "sheet.csv"), "-o", str(folder / "shots.jsonl")]) == 0
    first, second = read_shots(folder / "shots.jsonl")
    assert (first.name, first.counts, first.settings.prompt, first.settings.seed) == ("a", (9,), "a hop", 7)
    assert [(sketch.frame, sketch.strength) for sketch in first.sketches] == [(4, 0.5)]
    assert (second.name, second.counts) == ("b", (4,))


@pytest.mark.parametrize(
    ("sheet", "message"),
    [
        ("frame,picture\n", "line 1: no column keyframe"),
        ("frame,keyframe,mood\n", "line 1: the column 'mood' is unknown"),
        ("frame,keyframe\n1,keys/1.png\n1,keys/9.png\n", "line 3: frame is 1, after 1; expected rising frames"),
        ("frame,keyframe\none,keys/1.png\n", "line 2: frame is 'one'; expected a whole number"),
        ("frame,keyframe\n1,keys/2.png\n", "line 2: no picture keys/2.png"),
        ("frame,keyframe,sketch\n5,,keys/1.png\n5,,keys/9.png\n", "line 3: frame 5 has a sketch already"),
        ("frame,keyframe\n1,keys/1.png,x\n", "line 2: more cells than the 2 columns"),
        ("frame,keyframe,seed\n1,keys/1.png,1\n9,keys/9.png,2\n", "line 3: seed is 2, and 1 before"),
        ("frame,keyframe,prompt\n1,keys/1.png," + "[" * 20000 + "\n", "shot sheet from line 2 on: got 1 keyframe(s)"),
        ("frame,keyframe,seed\n1,keys/1.png,NaN\n9,keys/9.png,\n", "seed is 'NaN'; expected a whole number"),
        ("frame,keyframe\n1,keys/1.png\n", "shot sheet from line 2 on: got 1 keyframe(s)"),
        ("frame,keyframe\n", "has no rows"),
    ],
)
def test_a_sheets_mistakes(sheet: str, message: str, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "sheet.csv").write_text(sheet)
    assert main(["shots", str(folder / "sheet.csv"), "-o", str(folder / "shots.jsonl")]) == 2
    assert f"{folder / 'sheet.csv'}" in (said := capsys.readouterr().err) and message in said
    assert not (folder / "shots.jsonl").exists()


def test_a_list_in_place_of_its_sheet(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    sheet = folder / "sheet.csv"
    sheet.write_text(text := "frame,keyframe\n1,keys/1.png\n4,keys/9.png\n")
    assert main(["shots", str(sheet), "-o", str(sheet)]) == 2
    assert "would replace" in capsys.readouterr().err and sheet.read_text() == text


def test_a_list_in_place_of_a_picture(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    picture = folder / "keys" / "9.png"
    before = picture.read_bytes()
    assert main(["shots", str(folder / "keys"), "-o", str(picture)]) == 2
    assert f"--output would replace {picture}, which is read" in capsys.readouterr().err
    assert picture.read_bytes() == before


def test_a_link_to_itself_is_no_source(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "loop").symlink_to("loop")
    assert main(["shots", str(folder / "loop"), "-o", str(folder / "shots.jsonl")]) == 2
    assert "there is no folder or exposure sheet" in capsys.readouterr().err


@pytest.mark.parametrize("target", ["gone.png", "5.png"], ids=["nowhere", "itself"])
def test_a_keyframe_that_is_a_broken_link_is_not_passed_over(
    target: str, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "keys" / "5.png").symlink_to(target)
    assert main(["shots", str(folder / "keys"), "-o", str(folder / "shots.jsonl")]) == 2
    assert f"no picture or folder 'keys/{target}'" in capsys.readouterr().err


def test_frames_of_nothing(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["shots", str(folder / "keys"), "-o", str(folder / "shots.jsonl"), "--frames", ""]) == 2
    assert "frames is ''; expected a whole number" in capsys.readouterr().err
