"""The comparison as a command, and what its tables and plots are made of."""

from __future__ import annotations

import csv
import re
from pathlib import Path
from xml.etree import ElementTree

import pytest
import torch
from torch import Tensor, nn

from tooncrafter_core.evaluation.__main__ import main
from tooncrafter_core.evaluation.command import exit_status
from tooncrafter_core.evaluation.comparison.plots import line_plot, nice_ticks
from tooncrafter_core.evaluation.comparison.scores import TRUTH, Row, Scores
from tooncrafter_core.evaluation.comparison.tables import markdown, per_clip
from tooncrafter_core.evaluation.held_out import main as write_held_out
from tooncrafter_core.evaluation.measures.measure import Measure
from tooncrafter_core.files.media import read_image, write_frames
from tooncrafter_core.training.clips.manifest import Clip, write_manifest


def ramp(count: int, low: float, high: float) -> Tensor:
    """Frames that get brighter, (count, 3, 16, 24)."""
    return torch.linspace(low, high, count)[:, None, None, None].expand(-1, 3, 16, 24)


@pytest.fixture
def truth(tmp_path: Path) -> Path:
    """Two clips that a dissolve draws without error."""
    folder = tmp_path / "truth"
    write_frames(ramp(4, 0.0, 0.6), folder / "clip_2", 24)
    write_frames(ramp(5, 0.2, 1.0), folder / "clip_10", 24)
    (folder / "clips.json").write_text('{"clip_2": {"group": "film"}, "clip_10": {"group": "toon", "fps": 12}}')
    return folder


class MeanColour(nn.Module):
    def forward(self, video: Tensor) -> Tensor:
        return video.mean(dim=(2, 3, 4))


def test_the_command_compares_a_folder_with_what_is_built_in(truth: Path, tmp_path: Path) -> None:
    write_frames(ramp(4, 0.0, 0.6) + 0.1, tmp_path / "other" / "clip_2", 24)
    write_frames(ramp(5, 0.2, 1.0).clamp(max=0.9) - 0.1, tmp_path / "other" / "clip_10", 24)
    torch.jit.script(MeanColour()).save(str(tmp_path / "mean.pt"))
    out = tmp_path / "out"
    arguments = [f"ours & theirs={tmp_path / 'other'}", "--truth", str(truth), "--table", str(out)]
    arguments += ["--builtin", "dissolve", "nearest", "--measures", "psnr", "ssim", "--threads", "1"]
    assert main([*arguments, "--features", str(tmp_path / "mean.pt")]) == 0
    with (out / "table.csv").open(newline="") as file:
        rows = {(row["clip"], row["method"]): row for row in csv.DictReader(file)}
    assert list(rows)[:4] == [("clip_2", name) for name in (TRUTH, "ours & theirs", "dissolve", "nearest")]
    assert float(rows["clip_2", "ours & theirs"]["PSNR, dB"]) == pytest.approx(20, abs=0.3)
    assert float(rows["clip_10", "dissolve"]["PSNR, dB"]) > 45
    assert rows["clip_10", TRUTH]["PSNR, dB"] == "" and rows["clip_10", TRUTH]["group"] == "toon"
    table = (out / "table.md").read_text()
    assert re.findall(r"^## (.*)", table, re.MULTILINE) == ["All clips (2)", "film (1)", "toon (1)"]
    assert re.search(r"\| dissolve \| \*\*\d", table)
    assert re.search(r"\| dissolve \| .* \| \*\*0\.000\*\* \| \*\*-0\.\d+\*\* \|", table), "the same clips: no distance"
    assert "| truth" not in table, "nothing measured says anything of true frames"
    page = (out / "index.html").read_text()
    assert "ours &amp; theirs" in page and "ours & theirs" not in page and page.count("<svg") == 2
    for source in re.findall(r'src="([^"]*)"', page):
        assert read_image(out / source).shape[2] >= 4 * 24
    assert {file.name for file in (out / "strips").iterdir()} == {"0000.png", "0001.png"}
    study = (out / "study.html").read_text()
    films = set(re.findall(r"films/\d{4}\.png", study))
    assert len(films) == 6 and all((out / film).is_file() for film in films)
    assert main(arguments) == 0, "an earlier result is replaced"


@pytest.mark.parametrize("count", ["0", "-1", "x"])
def test_a_number_of_threads_that_cannot_be(count: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["--truth", "t", "--table", "t", "--threads", count])
    assert ended.value.code == 2 and "argument --threads" in capsys.readouterr().err


def test_ctrl_c_ends_in_words(capsys: pytest.CaptureFixture[str]) -> None:
    def interrupted() -> str:
        raise KeyboardInterrupt

    assert exit_status(interrupted) == 130
    assert capsys.readouterr() == ("", "interrupted; the files that are written are whole\n")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["FILM"], "cannot read FILM; expected METHOD=FOLDER such as FILM=frames/film"),
        (["FILM=nowhere"], "nowhere is not there; expected a folder of frames"),
        (["--builtin"], "no methods; name folders"),
        (["--trials", "-1"], "--trials is -1; expected 0 to 10000"),
        (["--fps", "0"], "--fps is 0; expected 1 to 60"),
        (["--model", "no.ckpt"], "no weight file at no.ckpt"),
        (["--measures", "lpips"], "the measure lpips needs a file of weights; name it with --perceptual"),
        (["--features", "no.pt"], "no.pt is not a file; expected a TorchScript module"),
    ],
)
def test_mistakes_are_told_in_one_line(
    truth: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], message: str
) -> None:
    assert main([*arguments, "--truth", str(truth), "--table", str(tmp_path / "out"), "--threads", "1"]) == 2
    told = capsys.readouterr().err
    assert told.startswith("error: ") and told.count("\n") == 1 and message in told
    assert not (tmp_path / "out" / "strips").exists()


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("films/holiday.mp4", "holds other files (holiday.mp4)"),
        ("index.html", "is a page of somebody else's"),
        (
            "table.csv",
            "table.csv is there, would be lost, and is of no earlier run, which would have left index.html or strips",
        ),
    ],
)
def test_other_files_among_the_results_are_not_lost(
    name: str, message: str, truth: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    other = tmp_path / "out" / name
    other.parent.mkdir(parents=True)
    other.write_text("mine")
    assert main(["--truth", str(truth), "--table", str(tmp_path / "out")]) == 2
    assert message in capsys.readouterr().err
    assert other.read_text() == "mine"


def test_results_do_not_become_clips(truth: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = sorted(truth.iterdir())
    assert main(["--truth", str(truth), "--table", str(truth)]) == 2
    assert f"--table is {truth}, which --truth is too" in capsys.readouterr().err
    assert sorted(truth.iterdir()) == before


def test_names_that_come_twice_are_refused(truth: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = [f"dissolve={truth}", "--truth", str(truth), "--table", str(tmp_path / "out")]
    assert main(arguments) == 2
    assert "two methods are called dissolve; give each a name of its own" in capsys.readouterr().err


def scores() -> Scores:
    """Two methods on two clips of unlike length: m has the values 1, 3 and 5, 5, 5; n has twice as much."""
    measure = Measure("error", "lower", "", lambda frames, truth: frames, shown=lambda mean: 10 * mean)
    rows = []
    for name, factor in (("m", 1), ("n", 2)):
        rows.append(Row(name, "a", "film", {"error": [1.0 * factor, 3.0 * factor]}))
        rows.append(Row(name, "b", "toon", {"error": [5.0 * factor] * 3}))
    return Scores([measure], rows=rows)


def test_means_are_of_clips_and_have_errors() -> None:
    found = scores()
    assert found.mean("m", "", "error") == pytest.approx((35, 15))  # (20 + 50) / 2; deviation 21.2 / sqrt(2)
    assert found.mean("n", "film", "error") == (40, None)
    assert found.mean("other", "", "error") is None
    assert found.best("", found.columns[0]) == "m"
    assert found.groups == ["film", "toon"]
    assert (found.clips(""), found.clips("toon")) == (2, 1)


def test_curves_are_of_the_clips_that_have_the_frame() -> None:
    found = scores()
    assert found.curve("m", found.measures[0]) == pytest.approx([30, 40, 50])


def test_tables_have_the_means_and_every_clip() -> None:
    text = markdown(scores())
    assert "| m | **35.00 ± 15.00** |" in text and "| n | 70.00 ± 30.00 |" in text
    assert per_clip(scores()).splitlines() == [
        "group,clip,method,error",
        "film,a,m,20",
        "toon,b,m,50",
        "film,a,n,40",
        "toon,b,n,100",
    ]


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [
        (0.0, 1.0, [0, 0.2, 0.4, 0.6, 0.8, 1.0]),
        (18.3, 25.2, [18, 20, 22, 24, 26]),
        (3.0, 3.0, [3, 4]),
        (0.0, 0.0, [0, 0.2]),
    ],
)
def test_ticks_are_round_and_take_in_both_ends(low: float, high: float, expected: list[float]) -> None:
    ticks = nice_ticks(low, high)
    assert ticks[: len(expected)] == pytest.approx(expected)
    assert ticks[0] <= low and ticks[-1] >= high and len(ticks) <= 8


def test_plots_are_svg_with_a_line_and_a_name_for_each_method() -> None:
    root = ElementTree.fromstring(line_plot({"a < b": [1.0, 3.0, 2.0], "c": [2.0, 2.0, 2.0]}, "PSNR, dB"))
    space = "{http://www.w3.org/2000/svg}"
    lines = [line.attrib["points"].split() for line in root.iter(f"{space}polyline")]
    heights = [float(point.split(",")[1]) for point in lines[0]]
    assert [len(points) for points in lines] == [3, 3]
    assert heights[1] < heights[2] < heights[0], "higher values are higher up"
    assert {"a < b", "c"} <= {text.text for text in root.iter(f"{space}text")}


def test_held_out_clips_become_folders_of_true_frames(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    listed = []
    for number, split in enumerate(("held_out", "held_out", "train")):
        path = tmp_path / "set" / f"clip{number}"
        write_frames(torch.rand(18, 3, 64, 128), path, 24)
        listed.append(Clip(path, 24.0, "a ball", split, f"source {number}", "drawn", 8.0))
    write_manifest(tmp_path / "set" / "manifest.jsonl", listed)
    arguments = ["--data", str(tmp_path / "set" / "manifest.jsonl"), "--out", str(tmp_path / "truth")]
    assert write_held_out(arguments) == 0
    assert {path.name for path in (tmp_path / "truth").iterdir()} == {"drawn-00", "drawn-01", "clips.json"}
    assert len(list((tmp_path / "truth" / "drawn-01").iterdir())) == 16
    with pytest.raises(SystemExit) as ended:
        write_held_out([*arguments, "--clips", "0"])
    assert ended.value.code == 2 and "--clips: it is 0; expected 1 or more" in capsys.readouterr().err
