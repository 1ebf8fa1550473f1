"""The command line, from files to files."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import av
import pytest
import torch
from PIL import Image

from tooncrafter_core.__main__ import main
from tooncrafter_core.files.media import read_image

BUNDLED = Path(__file__).parents[3] / "assets" / "tooncrafter-tiny" / "tooncrafter-tiny.safetensors"


def count_frames(path: Path) -> int:
    if path.is_dir():
        return len(list(path.glob("*.png")))
    if path.suffix == ".mp4":
        with av.open(str(path)) as video:
            return sum(1 for _ in video.decode(video=0))
    with Image.open(path) as image:
        return getattr(image, "n_frames", 1)


@pytest.mark.parametrize("ending", [".mp4", ".webp", ".gif", ""])
def test_interpolate(
    ending: str, pictures: list[str], model: list[str], output: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path, sheet = output / f"frames{ending}", output / "sheets" / "sheet.png"
    arguments = [*pictures, *model, "-o", str(path), "--contact-sheet", str(sheet)]
    assert main(["interpolate", *arguments]) == 0
    assert capsys.readouterr().out == f"3 frames in {path}\n"
    assert count_frames(path) == 3
    assert read_image(sheet).shape == (3, 64, 4 * 64)


def test_settings_far_from_the_models_own_are_told(
    pictures: list[str], model: list[str], output: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["interpolate", *pictures, *model, "-c", str(BUNDLED), "--guidance-scale", "1", "-o", str(output)]) == 0
    said = capsys.readouterr().err
    best, here = "clean_end on", "clean_end off"
    assert f"warning: tooncrafter-tiny.safetensors works best with {best}; here it is {here}," in said


@pytest.mark.parametrize("dtype", ["float16", "float32"])
def test_a_precision_that_is_slow_on_a_cpu_is_told(
    dtype: str, pictures: list[str], model: list[str], output: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    small = ["--width", "16", "--height", "16", "--frames", "2", "--steps", "1"]
    assert main(["interpolate", *pictures, *model, *small, "--dtype", dtype, "-o", str(output)]) == 0
    told = "warning: float16 takes many times as long on a CPU; leave --dtype out\n" in capsys.readouterr().err
    assert told == (dtype == "float16")


def test_frames_in_a_folder_are_the_contact_sheet(pictures: list[str], model: list[str], output: Path) -> None:
    sheet = output.with_name("sheet.png")
    keyframes = [*pictures, pictures[0]]
    assert main(["interpolate", *keyframes, *model, "-o", str(output), "--contact-sheet", str(sheet)]) == 0
    frames = torch.stack([read_image(path) for path in sorted(output.glob("0*.png"))])
    assert frames.shape == (5, 3, 64, 64)
    assert (frames.flatten(1).std(dim=1) > 0.02).all()
    tiles = read_image(sheet).unflatten(2, (4, 64)).unflatten(1, (2, 64)).permute(1, 3, 0, 2, 4).flatten(0, 1)
    assert torch.equal(tiles[:5], frames)
    assert (tiles[5:] == 1).all()


def test_sketches(
    pictures: list[str], model: list[str], tiny_files: tuple[Path, Path], output: Path, tmp_path: Path
) -> None:
    arguments = ["interpolate", *pictures, *model]
    sketch = ["--sketch", f"1={pictures[0]}", "--sketch-encoder", str(tiny_files[1])]
    assert main([*arguments, "-o", str(output)]) == 0
    assert main([*arguments, *sketch, "-o", str(tmp_path / "sketched")]) == 0
    plain, sketched = (read_image(folder / "0001.png") for folder in (output, tmp_path / "sketched"))
    assert not torch.equal(plain, sketched)
    sketch[1] = f"50%@0={pictures[0]}"
    assert main([*arguments, *sketch, "--sketch-strength", "0", "-o", str(tmp_path / "unguided")]) == 0
    assert (read_image(tmp_path / "unguided" / "0001.png") - plain).abs().max() <= 1 / 255


def test_loop(pictures: list[str], model: list[str], output: Path) -> None:
    for keyframes, expected in ((pictures, 4), (pictures[:1], 2)):
        path = output / f"{expected}.gif"
        assert main(["interpolate", *keyframes, *model, "--loop", "-o", str(path)]) == 0
        assert count_frames(path) == expected


def test_a_size_between_latents(pictures: list[str], model: list[str], output: Path) -> None:
    size = ["--width", "30", "--height", "21"]
    assert main(["interpolate", *pictures, *model, *size, "-o", str(output)]) == 0
    assert read_image(output / "0002.png").shape == (3, 21, 30)


def test_inspect(tiny_files: tuple[Path, Path], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["inspect", str(tiny_files[1])]) == 0
    first, sketch = capsys.readouterr().out.splitlines()
    assert first == "sketch_encoder.ckpt: 340 tensors"
    assert sketch.split() == ["sketch", "4.0", "M", "parameters", "float16"]


def test_as_a_command(tmp_path: Path) -> None:
    """The one test that starts a process: the exit status and the streams are the real ones."""
    command = [sys.executable, "-m", "tooncrafter_core", "inspect", str(tmp_path / "no.ckpt")]
    root = Path(__file__).parents[3]
    done = subprocess.run(command, cwd=root, capture_output=True, text=True, timeout=60)
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr == f"error: no weight file at {tmp_path / 'no.ckpt'}; check the path\n"
