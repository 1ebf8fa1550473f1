"""What the command line says about a user's mistakes."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest
import torch
from file_limits import files_of_at_most
from PIL import Image
from torch import Tensor
from tqdm import tqdm

from tooncrafter_core.__main__ import main
from tooncrafter_core.files.media import read_image, write_frames
from tooncrafter_core.sampling.ddim import Walk, ddim
from tooncrafter_core.sampling.schedule import Schedule

Refusal = Callable[..., str]


@pytest.fixture
def refusal(capsys: pytest.CaptureFixture[str], pictures: list[str], model: list[str], output: Path) -> Refusal:
    """What is said about arguments that come after otherwise good ones."""

    def of(*arguments: str, keyframes: list[str] = pictures) -> str:
        status = main(["interpolate", *keyframes, *model, "-o", str(output), *arguments])
        said = capsys.readouterr()
        assert (status, said.out) == (2, "")
        *warnings, error = said.err.splitlines(keepends=True)
        assert error.startswith("error: ") and all(line.startswith("warning: ") for line in warnings), said.err
        assert not output.exists()
        return error

    return of


def test_missing_files(refusal: Refusal, pictures: list[str], tmp_path: Path) -> None:
    nothing = str(tmp_path / "nothing")
    assert f"{nothing}.png" in refusal(keyframes=[pictures[0], f"{nothing}.png"])
    assert f"{nothing}.ckpt" in refusal("--checkpoint", f"{nothing}.ckpt")
    assert "huggingface.co/Doubiiu/ToonCrafter" in refusal("--checkpoint", f"{nothing}/model.ckpt")
    assert f"{nothing}.png" in refusal("--sketch", f"1={nothing}.png", "--sketch-encoder", "s.ckpt")


def test_not_a_picture(refusal: Refusal, pictures: list[str], tmp_path: Path) -> None:
    (tmp_path / "notes.png").write_text("not a picture")
    assert "notes.png is not a picture" in refusal(keyframes=[pictures[0], str(tmp_path / "notes.png")])
    whole = Path(pictures[0]).read_bytes()
    (tmp_path / "half.png").write_bytes(whole[: len(whole) // 2])
    (tmp_path / "huge.png").write_bytes(enormous_picture())
    for name in ("half.png", "huge.png"):
        assert f"{name} is damaged" in refusal(keyframes=[pictures[0], str(tmp_path / name)])
    for arguments in (["--sketch", f"1={tmp_path}", "--sketch-encoder", "s.ckpt"], []):
        keyframes = pictures if arguments else [pictures[0], str(tmp_path)]
        assert f"{tmp_path} is a folder; expected a picture" in refusal(*arguments, keyframes=keyframes)


def test_a_strip_is_refused_before_a_model_is_read(refusal: Refusal, pictures: list[str], tmp_path: Path) -> None:
    strip, nothing = tmp_path / "strip.png", tmp_path / "nothing.ckpt"
    Image.new("RGB", (7, 5000)).save(strip)
    nothing.write_bytes(b"")
    said = refusal("--checkpoint", str(nothing), keyframes=[pictures[0], str(strip)])
    assert f"{strip} is 7 x 5000 pixels" in said
    said = refusal("--checkpoint", str(nothing), "--sketch", f"1={strip}", "--sketch-encoder", "s.ckpt")
    assert f"{strip} is 7 x 5000 pixels" in said


def enormous_picture() -> bytes:
    """The beginning of a PNG of 50,000 x 50,000 pixels."""
    head = b"IHDR" + struct.pack(">IIBBBBB", 50000, 50000, 8, 2, 0, 0, 0)
    checked = struct.pack(">I", 13) + head + struct.pack(">I", zlib.crc32(head))
    return b"\x89PNG\r\n\x1a\n" + checked + struct.pack(">I", 8) + b"IDAT" + bytes(12)


def test_not_a_checkpoint(refusal: Refusal, pictures: list[str], tiny_files: tuple[Path, Path]) -> None:
    assert "first.png" in refusal("--checkpoint", pictures[0])
    assert "needs unet, autoencoder, projector, text and vision" in refusal("--checkpoint", str(tiny_files[1]))
    sketch = ["--sketch", f"1={pictures[0]}", "--sketch-encoder", str(tiny_files[0])]
    assert "model.ckpt has no sketch" in refusal(*sketch)


@pytest.mark.parametrize(
    ("sketch", "message"),
    [
        ("middle.png", "expected FRAME=FILE such as 7=middle.png"),
        ("1=", "expected FRAME=FILE"),
        ("x=middle.png", "cannot read 'x'"),
        ("3=middle.png", "3 is out of range; expected 0 to 2"),
        ("0-1=middle.png", "1 sketch(es) but 2 frame indices"),
        ("1=middle.png", "--sketch needs --sketch-encoder FILE"),
        ("=middle.png", "cannot read --sketch '=middle.png'; expected FRAME=FILE such as 7=middle.png"),
        ("@0.5=middle.png", "expected FRAME=FILE"),
        ("nan=middle.png", "cannot read 'nan'"),
        ("1.5=middle.png", "cannot read '1.5'"),
        ("1@=middle.png", "cannot read '' as a sketch's strength"),
        ("1@11=middle.png", "cannot read '11' as a sketch's strength; expected a number from 0 to 10"),
        ("-9=middle.png", "-9 is out of range; expected 0 to 2"),
        ("9" * 5000 + "=middle.png", "cannot read '99999"),
        ("0-" + "9" * 5000 + "=middle.png", "cannot read '0-99999"),
    ],
)
def test_bad_sketches(sketch: str, message: str, refusal: Refusal) -> None:
    said = refusal("--checkpoint", "not-read-yet.ckpt", "--sketch=" + sketch)
    assert message in said
    assert len(said) < 300


def test_two_sketches_for_a_frame(refusal: Refusal) -> None:
    said = refusal("--sketch", "1=a.png", "--sketch", "2=b.png", "--sketch", "01=c.png")
    assert "frame 1 has two sketches, a.png and c.png; give it one --sketch" in said
    assert "2 frame indices in '0,1'" in refusal("--sketch", "0,1=a.png")


@pytest.mark.parametrize(
    ("flag", "value", "message"),
    [
        ("--steps", "0", "steps is 0; expected 1 to 1000"),
        ("--eta", "2", "eta"),
        ("--frames", "1", "frames is 1"),
        ("--frames", "many", "frames is 'many'; expected a whole number, or one for each segment such as 16, 24, 12"),
        ("--frames", "3,4", "frames has 2 numbers, but 2 keyframe(s) make 1 segment(s)"),
        ("--sketch-strength", "nan", "sketch_strength is nan; expected 0 to 10"),
        ("--guidance-scale", "inf", "guidance_scale is inf; expected 0 to 100"),
        ("--guidance-rescale", "-inf", "guidance_rescale is -inf; expected 0 to 1"),
        ("--guidance-from", "1", "guidance_from is 1 and guidance_to 1; expected a start before the end"),
        ("--guidance-to", "1.5", "guidance_to is 1.5; expected 0 to 1"),
        ("--seed", "-1", "seed is -1"),
        ("--frame-rate", "61", "frame_rate is 61; expected 1 to 60"),
    ],
)
def test_settings_out_of_range(flag: str, value: str, message: str, refusal: Refusal) -> None:
    assert message in refusal("--checkpoint", "not-read-yet.ckpt", f"{flag}={value}")


@pytest.mark.parametrize(
    "wrong",
    [["--steps", "many"], ["--eta", "none"], ["--fit", "cover"], ["--dtype", "int8"], ["--colour"], ["--steps"]],
)
def test_what_no_option_takes(wrong: list[str], pictures: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["interpolate", *pictures, "-c", "not-read-yet.ckpt", "-o", "frames", *wrong])
    said = capsys.readouterr()
    assert (ended.value.code, said.out) == (2, "")
    assert said.err.startswith("error: ") and said.err.count("\n") == 1
    assert wrong[0] in said.err


def test_a_frame_from_the_end_is_written_with_an_equals_sign(
    pictures: list[str], refusal: Refusal, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        main(["interpolate", *pictures, "-c", "not-read-yet.ckpt", "-o", "frames", "--sketch", "-1=last.png"])
    assert "one that begins with - stands behind =, such as --sketch=-1=last.png" in capsys.readouterr().err
    assert "there is no picture last.png" in refusal("--sketch=-1=last.png", "--sketch-encoder", "s.ckpt")


def test_ctrl_c_ends_it_in_words_and_keeps_what_was_there(
    pictures: list[str],
    model: list[str],
    output: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    arguments = ["interpolate", *pictures, *model, "-o", str(output)]
    assert main(arguments) == 0
    before = {path.name: path.read_bytes() for path in output.iterdir()}
    capsys.readouterr()
    with monkeypatch.context() as patch:
        patch.setattr("tooncrafter_core.stages.autoencoding.decode", interrupted)
        assert main([*arguments, "--seed", "1"]) == 130
    assert "interrupted; what was begun is not kept" in capsys.readouterr().err
    assert {path.name: path.read_bytes() for path in output.iterdir()} == before
    assert main(arguments) == 0, "the same process draws again"
    assert {path.name: path.read_bytes() for path in output.iterdir()} == before


def test_places_that_nothing_can_be_written_to(refusal: Refusal, pictures: list[str], tmp_path: Path) -> None:
    (tmp_path / "film.mp4").mkdir()
    first = ["--checkpoint", "not-read-yet.ckpt"]
    assert "film.mp4 is a folder" in refusal(*first, "-o", str(tmp_path / "film.mp4"))
    assert "film.mp4 is a folder" not in refusal(*first, "-o", str(tmp_path / "film.gif"))
    assert "holds other files (film.mp4, first.png, last.png)" in refusal(*first, "-o", str(tmp_path))
    assert "first.png is a file, not a folder" in refusal(*first, "-o", f"{pictures[0]}/frames.gif")
    assert "no file can be made there" in refusal(*first, "-o", "/proc/frames.gif")
    assert "no file can be made there" in refusal(*first, "--contact-sheet", "/proc/sheet.png")


def test_results_that_would_replace_what_is_read(refusal: Refusal, pictures: list[str], tmp_path: Path) -> None:
    write_frames(torch.stack([read_image(picture) for picture in pictures]), tmp_path / "frames", 10)
    keyframes = [str(tmp_path / "frames" / f"000{number}.png") for number in range(2)]
    assert f"would replace {keyframes[0]}" in refusal("-o", str(tmp_path / "frames"), keyframes=keyframes)
    assert f"would replace {keyframes[1]}" in refusal("--contact-sheet", keyframes[1], keyframes=keyframes)


@pytest.mark.parametrize(
    ("film", "sheet"), [("both.webp", "both.webp"), ("new", "new/0003.png"), ("new.png/frames", "new.png")]
)
def test_results_in_each_others_place(film: str, sheet: str, refusal: Refusal, tmp_path: Path) -> None:
    """A sheet among the frames would be one of them, and keep the next run from replacing them."""
    assert "one is in the other" in refusal("-o", str(tmp_path / film), "--contact-sheet", str(tmp_path / sheet))


def test_a_contact_sheet_that_is_too_long(refusal: Refusal, tmp_path: Path) -> None:
    said = refusal("--frames", "1000", "--height", "72", "--contact-sheet", str(tmp_path / "sheet.webp"))
    assert "256 x 18000 pixels are more than a .webp can have" in said


@pytest.fixture
def sampling(monkeypatch: pytest.MonkeyPatch) -> Callable[[Callable[[], Tensor]], None]:
    """Put something else in the place of the sampling and its progress bar."""

    def replace(what: Callable[[], Tensor]) -> None:
        monkeypatch.setattr("tooncrafter_core.__main__.interpolate", lambda *arguments, **options: what())
        monkeypatch.setattr("tooncrafter_core.__main__.tqdm", partial(tqdm, disable=True))

    return replace


@pytest.mark.parametrize(("dtype", "advised"), [("float16", True), ("float32", False)])
def test_overflow_is_answered_with_this_commands_options(
    dtype: str, advised: bool, refusal: Refusal, sampling: Callable[..., None]
) -> None:
    def overflow() -> Tensor:
        z, schedule = torch.ones(1, 4, 2, 2, 2), Schedule.published()
        return ddim(lambda z, t: z * float("nan"), z, Walk(schedule, [999], 0.0), lambda: torch.zeros(()))

    sampling(overflow)
    said = refusal("--dtype", dtype)
    assert "Step 1 of 1 (timestep 999) gave NaN or infinite values" in said
    assert ("--dtype float32" in said) == advised
    assert "ComfyUI" not in said and "-unet" not in said


@pytest.mark.parametrize(
    "error", [torch.cuda.OutOfMemoryError("CUDA out of\nmemory"), RuntimeError("can't allocate memory: no")], ids=repr
)
def test_no_memory_is_one_line(error: RuntimeError, refusal: Refusal, sampling: Callable[..., None]) -> None:
    def fail() -> Tensor:
        raise error

    sampling(fail)
    assert "smaller --width, --height or --frames" in refusal()


def test_a_full_disk(refusal: Refusal, sampling: Callable[..., None], tmp_path: Path) -> None:
    sampling(lambda: torch.rand(3, 3, 64, 64))
    with files_of_at_most(4000):
        said = refusal("-o", str(tmp_path / "film.gif"))
    assert f"cannot write {tmp_path / 'film.gif'}: File too large" in said
    assert "MiB are free" in said


def test_unknown_ending(refusal: Refusal, tmp_path: Path) -> None:
    assert "cannot write .avi files; expected .mp4, .webp, .gif or a folder" in refusal("-o", str(tmp_path / "f.avi"))
    assert "cannot write .png files: a single picture is no film; expected .mp4" in refusal(
        "-o", str(tmp_path / "f.png")
    )


def test_a_file_in_place_of_the_folder(refusal: Refusal, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    assert "is a file; expected a folder" in refusal("-o", str(tmp_path / "file"))


def test_one_keyframe(refusal: Refusal, pictures: list[str]) -> None:
    assert "got 1 keyframe" in refusal("--checkpoint", "not-read-yet.ckpt", keyframes=pictures[:1])


@pytest.mark.parametrize("width", ["0", "7"])
def test_a_bad_size(width: str, refusal: Refusal) -> None:
    assert f"width is {width}" in refusal("--checkpoint", "not-read-yet.ckpt", "--width", width)


def test_an_odd_size_in_an_mp4(refusal: Refusal, tmp_path: Path) -> None:
    assert "64 x 51 can be .webp" in refusal("--height", "51", "-o", str(tmp_path / "frames.mp4"))


def test_a_negative_size(refusal: Refusal) -> None:
    assert "width is -8" in refusal("--width", "-8")


@pytest.mark.parametrize("device", ["toaster", "cuda:99", "mps:0"])
def test_no_such_device(device: str, refusal: Refusal) -> None:
    said = refusal("--device", device)
    assert f"device {device} cannot be used" in said and "Name one that this machine has" in said and len(said) < 500


def test_a_folder_in_place_of_a_model(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["inspect", str(tmp_path)]) == 2
    assert capsys.readouterr().err == f"error: {tmp_path} is a folder; expected a weight file, .safetensors or .ckpt\n"


def test_unknown_ending_of_the_contact_sheet(refusal: Refusal, tmp_path: Path) -> None:
    assert ".avi" in refusal("--contact-sheet", str(tmp_path / "sheet.avi"))
