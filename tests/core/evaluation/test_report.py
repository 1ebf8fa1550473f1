"""The report: what it concludes from numbers, and that it goes on where it stopped."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from tooncrafter_core.evaluation.report import __main__ as report_tiny
from tooncrafter_core.evaluation.report import groups, measures, summary
from tooncrafter_core.evaluation.report.measures import Bench, baselines
from tooncrafter_core.evaluation.report.sheets import COLUMNS, Block, write_sheets
from tooncrafter_core.evaluation.report.store import Renders, Results
from tooncrafter_core.evaluation.report.subject import TinyModel
from tooncrafter_core.evaluation.report.windows import (
    FRAMES,
    MIDDLE,
    Window,
    as_bytes,
    as_float,
)
from tooncrafter_core.settings import Settings
from tooncrafter_core.training.clips.manifest import Clip, write_manifest

HEIGHT, WIDTH = 32, 64


def square(at: int) -> Tensor:
    """A dark square on light ground, uint8."""
    frame = torch.full((3, HEIGHT, WIDTH), 230, dtype=torch.uint8)
    frame[:, 8:24, at : at + 16] = 20
    return frame


def moving() -> Tensor:
    """It moves fast, then slowly: what is right in the middle is not half the way."""
    return torch.stack([square(round(40 * (i / 15) ** 0.5)) for i in range(FRAMES)])


def window(name: str = "a", motion: float = 40.0) -> Window:
    return Window(name, name, "a square", 12, motion, seed=1, video=moving())


def distance(a: Tensor, b: Tensor) -> Tensor:
    return (a - b).square().mean(dim=(1, 2, 3))


def lines(frames: Tensor) -> Tensor:
    """White where neighbours differ."""
    grey = frames.mean(dim=1, keepdim=True)
    return ((grey - grey.roll(1, dims=-1)).abs() > 0.3).float()


class Stub:
    """A model that knows the truth but for a wrong place, which a sketch puts right at the middle."""

    def __init__(self, identity: str = "stub", off: int = 4) -> None:
        self.identity = identity
        self.sketch_identity = identity + "+sketch"
        self.off = off
        self.calls: list[str] = []

    def draw(self, window: Window, sketch: Tensor | None = None) -> Tensor:
        self.calls.append("drawn" if sketch is None else "guided")
        frames = window.video.roll(self.off, dims=-1)
        if sketch is not None:
            assert sketch.shape == (3, HEIGHT, WIDTH)
            frames[MIDDLE] = window.video[MIDDLE]
        return frames

    def reconstruct(self, window: Window, references: bool) -> Tensor:
        self.calls.append("reconstructed")
        return as_bytes(window.frames + (0.01 if references else 0.02) * (1 - 2 * window.frames))


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(distance, "mse", lines, Results(tmp_path / "results.jsonl"), Renders(tmp_path / "renders"))


def test_in_betweens_are_measured_without_the_keyframes(bench: Bench) -> None:
    one, stub = window(), Stub()
    values = bench.in_betweens(stub, one)
    drawn = as_float(one.video.roll(4, dims=-1))
    assert values["ours"] == pytest.approx(4 * float((drawn - one.frames)[1:-1].square().mean()), rel=1e-5)
    dissolve = baselines(one)["dissolve"]
    assert values["dissolve"] == pytest.approx(4 * float((dissolve - one.frames)[1:-1].square().mean()), rel=1e-5)
    assert values["nearest"] > 0 and values["ours_psnr"] > 0


def test_a_perfect_model_has_no_distance(bench: Bench) -> None:
    values = bench.in_betweens(Stub(off=0), window())
    assert values["ours"] == 0 and summary.gain(values) == min(values["dissolve"], values["nearest"]) > 0


def test_references_are_worth_what_the_decoder_loses_without(bench: Bench) -> None:
    found = summary.reconstruction([bench.reconstruction(Stub(), window())])
    assert found["gain_psnr"]["mean"] == pytest.approx(6, abs=1.5)  # half the error, but for rounding
    assert found["mean"]["with_f1"] == 1


def test_a_sketch_puts_the_middle_frame_right(bench: Bench) -> None:
    values = bench.sketching(Stub(), window())
    assert values["with_f1"] == 1 and values["with_middle"] == 0
    assert values["without_f1"] < 0.5 and values["without_middle"] > 0
    assert values["with_beside"] == values["without_beside"]
    assert values["sketch_share"] == pytest.approx(2 * 16 / (HEIGHT * WIDTH))


def test_clips_without_lines_are_left_out_and_counted() -> None:
    row = {"with_f1": 0.9, "without_f1": 0.6, "with_beside": 0.1, "without_beside": 0.2, "sketch_share": 0.1}
    found = summary.sketching([row, {**row, "with_f1": 0.0, "sketch_share": 0.0}])
    assert (found["clips"], found["clips_without_lines"]) == (1, 1)
    assert found["gain_f1"]["mean"] == pytest.approx(0.3)
    assert [bar.met for bar in summary.bars({"sketch": found}, None, {})] == [True, True]


def test_nothing_is_drawn_or_measured_twice(bench: Bench, tmp_path: Path) -> None:
    stub, windows = Stub(), [window("a"), window("b")]
    first = [bench.in_betweens(stub, one) for one in windows]
    bench.sketching(stub, windows[0])
    assert stub.calls == ["drawn", "drawn", "guided"], "a sketch's comparison uses the frames that are there"
    again = replace(bench, results=Results(tmp_path / "results.jsonl"), renders=Renders(tmp_path / "renders"))
    fresh = Stub()
    assert [again.in_betweens(fresh, one) for one in windows] == first
    assert fresh.calls == []
    again.in_betweens(Stub("other model"), windows[0])
    assert len(again.results) == 6, "in-betweens of three, a sketch, baselines of two windows"


def test_true_lines_are_extracted_once(bench: Bench) -> None:
    """Of a window's frames: the model's, the dissolve's, the nearest keyframe's and the true ones."""
    asked: list[Tensor] = []

    def watched(frames: Tensor) -> Tensor:
        asked.append(frames)
        return lines(frames)

    one = window()
    assert replace(bench, lines=watched).in_betweens(Stub(off=2), one).keys() > {"ours_lines", "nearest_worst_lines"}
    assert sum(torch.equal(frames, one.frames[1:-1]) for frames in asked) == 1 and len(asked) == 4


def test_an_interrupted_line_is_measured_again(tmp_path: Path) -> None:
    path = tmp_path / "results.jsonl"
    results = Results(path)
    results.get("a", lambda: {"x": 1.0}, clip="a")
    results.get("b", lambda: {"x": 2.0}, clip="b")
    path.write_text(path.read_text()[:-10])
    resumed = Results(path)
    assert len(resumed) == 1
    assert resumed.get("b", lambda: {"x": 3.0}) == {"x": 3.0}
    assert Results(path).get("b", lambda: {"x": 4.0}) == {"x": 3.0}
    assert Results(path).get("a", lambda: {"x": 4.0}) == {"x": 1.0}


def test_bars_of_in_betweens() -> None:
    far, near = window(motion=20), window(motion=1)
    wins = {"ours": 0.1, "dissolve": 0.3, "nearest": 0.2}
    loses = {"ours": 0.25, "dissolve": 0.3, "nearest": 0.2}
    found = summary.in_betweens([far, far, far, near], [wins, wins, loses, loses])
    assert found["share_better_large_motion"] == pytest.approx(2 / 3) and found["share_better"] == 0.5
    assert found["gain"]["mean"] == pytest.approx(0.025)
    bars = summary.bars({"in_betweens": found}, None, {})
    assert bars[0].name.endswith("(of 3)") and not bars[0].met, "two of three are below four fifths"
    assert bars[1].value == 1.0 and bars[1].met, "none of the four is farther than a dissolve"


def test_without_clips_of_large_motion_the_bar_is_not_met() -> None:
    found = summary.in_betweens([window(motion=1)], [{"ours": 0.1, "dissolve": 0.3, "nearest": 0.2}])
    bar = summary.bars({"in_betweens": found}, None, {})[0]
    assert bar.value is None and not bar.met


def test_bars_of_cost_and_variants() -> None:
    bars = summary.bars({}, {"seconds": 26.0, "peak_bytes": 1.5e9}, {n: {"mean": {"ours": v}} for n, v in VARIANTS})
    assert [(bar.name[0], bar.met) for bar in bars] == [("4", True), ("5", False), ("5", True)]


VARIANTS = (("I", 0.3), ("IV", 0.2), ("V", 0.25))


def test_the_whole_report(bench: Bench, tmp_path: Path) -> None:
    group = groups.Group("toon", [window("a"), window("b", motion=1.0)], 1)
    variants = {"I": Stub("I", off=8), "IV": Stub("IV", off=2)}
    measured = groups.measure(bench, Stub(), [group], variants, report_tiny.PARTS, tmp_path / "sheets")
    report = report_tiny.assemble(ABOUT, [group], measured, None)
    json.dumps(report, allow_nan=False)
    assert report["groups"]["toon"]["clips"] == 2 and report["groups"]["toon"]["skipped"] == 1
    assert [bar["name"][0] for bar in report["bars"]] == [*"111111", *"222", *"33", "4"]
    text = summary.markdown(report)
    assert "| variant |" in text and "| what stays |" in text
    assert "Model m, SHA-256 0000000000000000." in text and "Lora l, SHA-256 1111111111111111." in text
    names = sorted(path.name for path in (tmp_path / "sheets").iterdir())
    assert names == ["toon_best_1.png", "toon_first_1.png", "toon_worst_1.png"]


ABOUT = {
    "model": {"file": "m", "sha256": "0" * 64},
    "lora": {"file": "l", "sha256": "1" * 64},
    "perceptual": "mse",
    "settings": {"steps": 1},
    "width": WIDTH,
    "height": HEIGHT,
    "stride": 1,
    "seed": 0,
    "line_threshold": 0.5,
}


@pytest.mark.parametrize("name", ["results.jsonl", "renders"])
def test_a_place_that_is_taken(name: str, tmp_path: Path, command: Callable[..., list[str]]) -> None:
    (tmp_path / "out").mkdir()
    if name == "renders":
        (tmp_path / "out" / name).touch()
    else:
        (tmp_path / "out" / name).mkdir()
    with pytest.raises(ValueError, match=rf"{name} is a (file, not a folder|folder; expected the name of a file)"):
        Bench.of_files([tmp_path / "weights.pth"], tmp_path / "out")


def test_an_output_that_is_a_file(
    tmp_path: Path, command: Callable[..., list[str]], capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "out").touch()
    assert report_tiny.main(command()) == 2
    assert f"cannot write {tmp_path / 'out' / 'report.json'}: " in capsys.readouterr().err


def test_sheets_show_the_right_frames(tmp_path: Path) -> None:
    frames = torch.arange(FRAMES).float()[:, None, None, None].expand(-1, 3, 8, 16) / 20
    files = write_sheets(tmp_path, "x", [Block("title", {"truth": frames, "ours": frames})] * 5)
    assert [file.name for file in files] == ["x_1.png", "x_2.png"]
    with Image.open(files[1]) as image:
        row = np.asarray(image.convert("L"))[20, 2 - len(COLUMNS) * 34 :: 34]  # 2 px between frames
    assert row.tolist() == [round(255 * column / 20) for column in COLUMNS]


def test_a_model_draws_and_reconstructs(tiny_files: tuple[Path, Path]) -> None:
    model = TinyModel(*tiny_files, Settings(steps=1, guidance_scale=1.0, two_pass=False))
    one = replace(window(), video=moving()[..., :32])
    drawn = model.draw(one)
    assert drawn.shape == one.video.shape and drawn.dtype == torch.uint8
    assert torch.equal(drawn, model.draw(one))
    sketch = lines(one.frames[MIDDLE : MIDDLE + 1])[0].expand(3, -1, -1)
    assert not torch.equal(drawn, model.draw(one, sketch))
    both = [model.reconstruct(one, references) for references in (True, False)]
    assert both[0].shape == one.video.shape and not torch.equal(*both)


def test_identities_follow_files_and_settings(tmp_path: Path) -> None:
    files = [tmp_path / "a", tmp_path / "b"]
    for file in files:
        file.write_text(file.name)
    settings = Settings(steps=1)
    model = TinyModel(files[0], None, settings)
    same = TinyModel(files[0], files[1], settings)
    assert same.identity == model.identity and same.sketch_identity != model.sketch_identity
    assert TinyModel(files[1], None, settings).identity != model.identity
    assert TinyModel(files[0], None, replace(settings, steps=2)).identity != model.identity


@pytest.fixture
def command(tmp_path: Path, tiny_files: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch) -> Callable[..., list[str]]:
    """A data set of two clips, a folder of keyframes and a model that is fast; gives the command line."""
    for name in ("one", "two"):
        folder = tmp_path / "set" / name
        folder.mkdir(parents=True)
        for i, frame in enumerate(moving()):
            Image.fromarray(frame.permute(1, 2, 0).numpy()).save(folder / f"{i:02}.png")
    rows = [Clip(tmp_path / "set" / n, 12.0, "a square", "held_out", n, "toon", 9.0) for n in ("one", "two")]
    write_manifest(tmp_path / "set" / "manifest.jsonl", rows)
    for end in ("first", "last"):
        Image.fromarray(moving()[0].permute(1, 2, 0).numpy()).save(tmp_path / f"hop_{end}.png")
    weights = tmp_path / "weights.pth"
    weights.write_bytes(b"weights")
    monkeypatch.setattr(measures, "load_perceptual", lambda *paths: distance)
    monkeypatch.setattr(report_tiny, "TinyModel", lambda *arguments, **_: Stub())

    def arguments(*more: str) -> list[str]:
        files = {"model": tiny_files[0], "sketch-encoder": tiny_files[1], "data": tmp_path / "set" / "manifest.jsonl"}
        files |= {"perceptual": weights, "out": tmp_path / "out", "keyframes": tmp_path}
        size = ["--width", str(WIDTH), "--height", str(HEIGHT), "--steps", "1", "--guidance", "1", "--threads", "1"]
        return [*(text for name, file in files.items() for text in (f"--{name}", str(file))), *size, *more]

    return arguments


def test_the_command(command: Callable[..., list[str]], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = command("--only", "between", "sketch", "reconstruction", "keyframes", "--clips", "2")
    assert report_tiny.main(arguments) == 0
    out = tmp_path / "out"
    assert "| bar | measured | expected |" in capsys.readouterr().out
    report = json.loads((out / "report.json").read_text())
    assert report["groups"]["toon"]["in_betweens"]["large_motion_clips"] == 2
    assert (out / "report.md").exists() and (out / "sheets" / "keyframes_1.png").exists()
    rows = (out / "results.jsonl").read_text()
    assert report_tiny.main(arguments) == 0
    assert (out / "results.jsonl").read_text() == rows
    assert json.loads((out / "report.json").read_text()) == report


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (["--domain", "film"], "no held-out film clips"),
        (["--variants", "IV"], "cannot read --variants IV"),
        (["--variants", "IV=a.safetensors", "IV=b.safetensors"], "two --variants are called IV; give each a name"),
        (["--variants", "IV=missing.safetensors"], "there is no file missing.safetensors; check the path"),
        (["--lora", "missing.safetensors"], "there is no file missing.safetensors; check the path"),
        (["--keyframes", "nope"], "nope has no pairs NAME_first.png and NAME_last.png; name another"),
        (["--only", "variants"], "--only variants leaves nothing to measure without --variants; name that too"),
        (["--width", "100"], "width is 100; expected a multiple of 8"),
        (["--steps", "0"], "steps is 0"),
    ],
)
def test_mistakes_are_told_before_anything_runs(
    more: list[str], message: str, command: Callable[..., list[str]], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert report_tiny.main(command(*more)) == 2
    assert message in capsys.readouterr().err
    assert not list(tmp_path.glob("out/renders/*"))


@pytest.mark.parametrize("beside", ["", "epoch 1\n", '{"step": 1}\n', "[1]\n"])
def test_a_report_of_somebody_elses_is_kept(
    beside: str, command: Callable[..., list[str]], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Also beside other results of that name."""
    other = tmp_path / "out" / "report.md"
    other.parent.mkdir()
    other.write_text("mine")
    if beside:
        (other.parent / "results.jsonl").write_text(beside)
    assert report_tiny.main(command()) == 2
    assert "report.md is there, would be lost, and is of no earlier run" in capsys.readouterr().err
    assert other.read_text() == "mine"


def test_sheets_of_somebody_elses_are_kept(
    command: Callable[..., list[str]], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    other = tmp_path / "out" / "sheets" / "toon_1.png"
    other.parent.mkdir(parents=True)
    Image.new("RGB", (8, 8)).save(other)
    before = other.read_bytes()
    assert report_tiny.main(command()) == 2
    assert (
        "sheets holds pictures of somebody else's, or of a version before 0.2 (toon_1.png)" in capsys.readouterr().err
    )
    assert other.read_bytes() == before


def test_a_report_of_keyframes_alone_is_written_again(command: Callable[..., list[str]], tmp_path: Path) -> None:
    """Of which no number is kept."""
    for _ in range(2):
        assert report_tiny.main(command("--only", "keyframes")) == 0


def test_a_bar_in_a_cell_is_no_border_of_it() -> None:
    """Of a table, where it stands in a method's name."""
    assert summary.table(["method"], [["a|b"]]) == "| method |\n| --- |\n| a\\|b |"
