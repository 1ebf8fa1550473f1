"""The command `batch`: what it draws is what `interpolate` draws, and what it says of mistakes before anything runs."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from PIL import Image

from tooncrafter_core import Settings, Sketch, ToonCrafter, interpolate
from tooncrafter_core.__main__ import main
from tooncrafter_core.batch.results.alone import alone
from tooncrafter_core.batch.results.digest import shot_key
from tooncrafter_core.batch.results.store import Record, Results
from tooncrafter_core.batch.shots.shot_list import read_shots
from tooncrafter_core.files.media import read_image, write_frames
from tooncrafter_core.files.whole import file_digest

SIZE = ("--width", "16", "--height", "16", "--steps", "2", "--frames", "3, 17")
SHOT = {"name": "hop", "keyframes": ["0.png", "1.png", "2.png"], "sketches": {"1": "0.png"}, "seed": 4}


@pytest.fixture
def shots(tmp_path: Path) -> Path:
    """A list of one shot with three keyframes and a sketch."""
    generator = torch.Generator().manual_seed(2)
    for number in range(3):
        pixels = (torch.rand(16, 16, 3, generator=generator) * 255).byte()
        Image.fromarray(pixels.numpy()).save(tmp_path / f"{number}.png")
    path = tmp_path / "shots.jsonl"
    path.write_text(json.dumps(SHOT) + "\n")
    return path


def test_segments_by_workers_on_ray_are_those_of_one_run(
    shots: Path, tiny_files: tuple[Path, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    """The one test that goes the whole way: a cluster starts, draws a short and a long segment by models, and ends."""
    out, (model, sketch) = shots.parent / "out", map(str, tiny_files)
    command = ["batch", str(shots), "--out", str(out), *SIZE, "-c", model, "--sketch-encoder", sketch, "--threads", "1"]
    assert main(command) == 0
    assert "1 shots: 1 drawn, 0 kept, 0 failed. 19 frames" in capsys.readouterr().out
    pictures = [read_image(shots.parent / f"{number}.png") for number in range(3)]
    expected = interpolate(
        ToonCrafter.load(*tiny_files, dtype=torch.float32),
        pictures,
        Settings(width=16, height=16, steps=2, frames="3, 17", seed=4),
        {1: Sketch(pictures[0])},
    )
    drawn = torch.stack([read_image(file) for file in sorted((out / "shots" / "hop").iterdir())])
    assert torch.equal(drawn, (expected * 255).round() / 255)
    assert main(command) == 0
    assert "0 drawn, 1 kept" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--workers", "0"], "--workers is 0; expected 1 to 4096"),
        (["--steps", "0"], "shots.jsonl, line 1: steps is 0"),
        (["-c", "no.ckpt", "--sketch-encoder", "s"], "no.ckpt"),
        ([], "shot hop has sketches; give a --sketch-encoder"),
        (["--sketch-encoder", "s", "--address", "127.0.0.1:1"], "no Ray cluster answers at 127.0.0.1:1; expected"),
        (["--sketch-encoder", "s", "--address", "127.0.0.1:99999"], "no Ray cluster answers at 127.0.0.1:99999"),
        (["--sketch-encoder", "s", "--device", "toaster"], "device toaster cannot be used"),
        (["--sketch-encoder", "s", "--comfyui", "http://x", "--workers", "2"], "--workers is for Ray"),
    ],
)
def test_mistakes(arguments: list[str], message: str, shots: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = shots.parent / "out"
    assert main(["batch", str(shots), "--out", str(out), "-c", "model.ckpt", *arguments]) == 2
    said = capsys.readouterr().err
    assert message in said and said.startswith("error: ") and said.count("\n") == 1
    assert not out.exists()


def test_what_is_no_picture_is_told_before_a_worker_starts(shots: Path, capsys: pytest.CaptureFixture[str]) -> None:
    command = ["batch", str(shots), "--out", str(shots.parent / "out"), "-c", "no.ckpt", "--sketch-encoder", "s"]
    (shots.parent / "1.png").write_text("no picture")
    assert main(command) == 2 and f"{shots.parent / '1.png'} is not a picture" in capsys.readouterr().err
    Image.new("RGB", (7, 5000)).save(shots.parent / "1.png")
    assert main(command) == 2 and f"{shots.parent / '1.png'} is 7 x 5000 pixels" in capsys.readouterr().err


@pytest.mark.parametrize("place", ["strips", "parts", "shots/hop.json", "strips/hop.png", "weights.json", "index.html"])
def test_places_that_nothing_can_be_written_to(place: str, shots: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Told before anything is drawn: a file in place of a folder, or the other way round."""
    taken = shots.parent / "out" / place
    if taken.suffix:
        taken.mkdir(parents=True)
    else:
        taken.parent.mkdir()
        taken.touch()
    command = ["batch", str(shots), "--out", str(shots.parent / "out"), "-c", "no.ckpt", "--sketch-encoder", "s"]
    assert main(command) == 2
    assert f"{taken} is a {'folder; expected the name of a file' if taken.suffix else 'file, not a folder'}" in (
        capsys.readouterr().err
    )


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("index.html", "mine", "is a page of somebody else's"),
        ("weights.json", '{"epochs": 20}', "is not, or no longer, a list of weight files' digests"),
        ("weights.json", "mine", "is not, or no longer, a list of weight files' digests"),
    ],
)
def test_files_of_somebody_elses_are_kept(
    name: str, content: str, message: str, shots: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    other = shots.parent / "out" / name
    other.parent.mkdir()
    other.write_text(content)
    command = ["batch", str(shots), "--out", str(other.parent), "-c", "no.ckpt", "--sketch-encoder", "s"]
    assert main(command) == 2
    assert f"{other} {message}" in capsys.readouterr().err
    assert other.read_text() == content


def test_two_runs_at_once(shots: Path, tiny_files: tuple[Path, Path], capsys: pytest.CaptureFixture[str]) -> None:
    """The second one is refused, before it has changed anything."""
    out, (model, sketch) = shots.parent / "out", map(str, tiny_files)
    with alone(out):
        assert main(["batch", str(shots), "--out", str(out), "-c", model, "--sketch-encoder", sketch]) == 2
    assert f"another run is at work in {out}; wait until it has ended" in capsys.readouterr().err
    assert [path.name for path in out.iterdir()] == [".lock"]
    with alone(out):
        pass


def test_out_is_a_link_to_itself(shots: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (shots.parent / "loop").symlink_to("loop")
    command = ["batch", str(shots), "--out", str(shots.parent / "loop" / "x"), "-c", "m", "--sketch-encoder", "s"]
    assert main(command) == 2
    assert "is a link that leads back to itself" in capsys.readouterr().err


def test_a_name_that_is_too_long_for_its_files(shots: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """100 letters of several bytes each."""
    shots.write_text(json.dumps({**SHOT, "name": "\U00020000" * 60}) + "\n")
    command = ["batch", str(shots), "--out", str(shots.parent / "out"), "-c", "m", "--sketch-encoder", "s"]
    assert main(command) == 2
    assert "no file can be made there (File name too long)" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("wrong", "message"), [("no.ckpt", "no weight file at"), ("model", "model.ckpt has no sketch (it has: unet")]
)
def test_a_wrong_sketch_encoder_is_told_before_a_worker_starts(
    wrong: str, message: str, shots: Path, tiny_files: tuple[Path, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    out, model = shots.parent / "out", str(tiny_files[0])
    sketch = model if wrong == "model" else str(shots.parent / wrong)
    assert main(["batch", str(shots), "--out", str(out), "-c", model, "--sketch-encoder", sketch]) == 2
    assert message in capsys.readouterr().err
    assert not out.exists()


def test_more_frames_than_can_be_drawn_are_told_before_weights_are_read(
    shots: Path, tiny_files: tuple[Path, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    out, (model, sketch) = shots.parent / "out", map(str, tiny_files)
    long = {**SHOT, "name": "long", "frames": [3, 227]}
    shots.write_text(f"{json.dumps(SHOT)}\n{json.dumps(long)}\n")
    assert main(["batch", str(shots), "--out", str(out), "-c", model, "--sketch-encoder", sketch]) == 2
    assert "error: shot long: frames is 227; with this model" in capsys.readouterr().err
    assert not out.exists()


def test_a_result_in_place_of_a_keyframe(shots: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = shots.parent / "shots" / "hop"
    write_frames(torch.stack([read_image(shots.parent / f"{number}.png") for number in range(2)]), folder, 10)
    shots.write_text(json.dumps({"name": "hop", "keyframes": "shots/hop"}) + "\n")
    assert main(["batch", str(shots), "--out", str(shots.parent), "-c", "model.ckpt"]) == 2
    assert "would replace" in capsys.readouterr().err
    assert len(list(folder.iterdir())) == 2


def test_a_frame_that_was_drawn_over_stays_and_its_shot_is_not_drawn_again(
    shots: Path, tiny_files: tuple[Path, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    """Told before a worker starts; who has drawn a finished shot over loses nothing, and the others go on."""
    shots.write_text(json.dumps({"name": "hop", "keyframes": ["0.png", "1.png"], "frames": 3}) + "\n")
    (shot,) = read_shots(shots, {})
    results = Results(shots.parent / "out")
    key = shot_key(shot, ["float32", file_digest(tiny_files[0])])
    results.write("hop", torch.rand(3, 3, 320, 512), Record(key, 3, 1.0, "here"))
    Image.new("RGB", (512, 320), "red").save(results.frames("hop") / "0001.png")
    before = {file: file.read_bytes() for file in results.frames("hop").iterdir()}
    command = ["batch", str(shots), "--out", str(results.folder), "-c", str(tiny_files[0])]
    assert main(command) == 0
    assert "0 drawn, 1 kept" in capsys.readouterr().out
    assert main([*command, "--seed", "1"]) == 2
    assert f"{results.frames('hop')} holds other files (0001.png), which would be lost" in capsys.readouterr().err
    assert {file: file.read_bytes() for file in results.frames("hop").iterdir()} == before
    assert results.record("hop")
