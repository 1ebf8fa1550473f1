"""What `interpolate` is given by mistake is told by name, with what was expected, before anything runs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from tooncrafter_core import Redo, Settings, Sketch, ToonCrafter, interpolate, read_checkpoint
from tooncrafter_core.files.tokenizer import tokenize
from tooncrafter_core.toon_crafter import working_device

PICTURE = torch.rand(3, 16, 24, generator=torch.Generator().manual_seed(0))
PAIR = [PICTURE, PICTURE]
SETTINGS = Settings(width=24, height=16, frames=3, steps=1)
HUGE = pytest.param(10**5000, id="huge")
NO_PICTURES: dict[str, Any] = {
    r"is None; expected a tensor": None,
    r"is array\(.*; expected a tensor": np.zeros((1, 1, 1)),
    r"is 'a.png'; expected a tensor": "a.png",
    r"is 4 x 0 pixels; expected a side of at least one": torch.zeros(3, 0, 4),
    r"is 4 x 300 pixels; .* at most 64 times the other": torch.zeros(3, 300, 4),
    r"has the shape \(2, 4, 4\); expected": torch.zeros(2, 4, 4),
    r"has the shape \(\); expected": torch.tensor(1.0),
    r"is a .* tensor of meta; expected a dense one": torch.zeros(3, 4, 4, device="meta"),
    r"is a torch.sparse_coo tensor of float32; expected a dense one": torch.zeros(3, 4, 4).to_sparse(),
    r"is a .* tensor of complex64; expected a dense one": torch.zeros(3, 4, 4, dtype=torch.complex64),
    r"holds uint8 values; expected floating-point ones from 0 to 1. Divide": (PICTURE * 255).byte(),
    r"holds int64 values; expected floating-point ones": (PICTURE * 255).long(),
    r"holds bool values; expected floating-point ones": PICTURE > 0.5,
    r"has values from 0.* to 25.*; expected a picture with values from 0 to 1": PICTURE * 255,
    r"has values from -0.9.* to 0.9.*; expected a picture with": PICTURE * 2 - 1,
    r"has values from 1e\+300 to 1e\+300; expected a picture with": torch.full((3, 4, 4), 1e300, dtype=torch.float64),
    r"has values from 2 to 2; expected a picture with": torch.full((3, 4, 4), 2.0).to(torch.float8_e4m3fn),
    r"holds NaN or infinite values; expected a picture": PICTURE.double() * float("inf"),
}


@pytest.mark.parametrize("says", NO_PICTURES)
def test_no_picture(says: str, tiny: ToonCrafter) -> None:
    wrong = NO_PICTURES[says]
    with pytest.raises(ValueError, match=f"keyframe 2 {says}"):
        interpolate(tiny, [PICTURE, wrong], SETTINGS)
    with pytest.raises(ValueError, match=f"the sketch at frame 1 {says}"):
        interpolate(tiny, PAIR, SETTINGS, {1: wrong})


@pytest.mark.parametrize("wrong", [None, 5, "ab", PICTURE, torch.tensor(1.0), {1: PICTURE}, (each for each in PAIR)])
def test_no_keyframes(wrong: Any, tiny: ToonCrafter) -> None:
    with pytest.raises(ValueError, match=r"keyframes are .*; expected a list of pictures"):
        interpolate(tiny, wrong, SETTINGS)


@pytest.mark.parametrize("index", ["1", 1.0, float("nan"), None, 10**400, HUGE, -1, 3])
def test_no_frame(index: Any, tiny: ToonCrafter) -> None:
    with pytest.raises(ValueError, match=r"sketch at frame .{1,40}; expected 0 to 2"):
        interpolate(tiny, PAIR, SETTINGS, {index: PICTURE})


def test_no_sketches_by_frame(tiny: ToonCrafter) -> None:
    with pytest.raises(ValueError, match=r"sketches are \[.*; expected pictures by frame"):
        interpolate(tiny, PAIR, SETTINGS, [PICTURE])  # type: ignore[arg-type]


@pytest.mark.parametrize("strength", ["a", [1], float("nan"), float("inf"), -1, 10**400])
def test_no_strength(strength: Any) -> None:
    with pytest.raises(ValueError, match=r"the strength of a sketch is .*; expected 0 to 10"):
        Sketch(PICTURE, strength)


@pytest.mark.parametrize("width", [0, 16385, 10**9, 10**400, HUGE])
def test_no_size(width: int) -> None:
    with pytest.raises(ValueError, match=r"width is .{1,60}; expected 8 to 16384 pixels"):
        Settings(width=width)


@pytest.mark.parametrize("frames", [b"3", bytearray(b"3"), memoryview(b"3"), {3: 3}, {3}, range(2, 10**9), PICTURE])
def test_no_frames(frames: Any) -> None:
    with pytest.raises(ValueError, match=r"frames is [^;]{1,80}; expected a whole number, or one for each segment"):
        Settings(frames=frames)


@pytest.mark.parametrize("frames", [HUGE, [3, 10**5000], "9" * 4000])
def test_no_such_number_of_frames(frames: Any) -> None:
    with pytest.raises(ValueError, match=r"frames is [^;]{1,80}; expected 2 to 1000"):
        Settings(frames=frames)


@pytest.mark.parametrize("name", ["seed", "steps", "guidance_scale", "eta"])
def test_no_such_number(name: str) -> None:
    with pytest.raises(ValueError, match=rf"{name} is a number of about 5,000 digits; expected . to "):
        Settings(**{name: 10**5000})


@pytest.mark.parametrize("wrong", [None, "model.ckpt", {"unet": None}, torch.nn.Linear(1, 1)])
def test_no_model(wrong: Any) -> None:
    with pytest.raises(ValueError, match=r"model is .*; expected a ToonCrafter, such as ToonCrafter.load opens"):
        interpolate(wrong, PAIR, SETTINGS)


@pytest.mark.parametrize("wrong", [{"frames": 3}, "3", [3], Settings])
def test_no_settings(wrong: Any, tiny: ToonCrafter) -> None:
    with pytest.raises(ValueError, match=r"settings is .*; expected Settings, such as"):
        interpolate(tiny, PAIR, wrong)


def test_no_callback(tiny: ToonCrafter) -> None:
    with pytest.raises(ValueError, match=r"callback is 'print'; expected a function"):
        interpolate(tiny, PAIR, SETTINGS, callback="print")  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ((0,), r"redo is \(0,\); expected a Redo"),
        (Redo(None, PICTURE), r"redo's segments is None; expected a list"),  # type: ignore[arg-type]
        (Redo([[0]], PICTURE), r"redo names segments \[\[0\]\]; expected"),  # type: ignore[list-item]
        (Redo([0.0], PICTURE), r"redo names segments \[0.0\]; expected"),  # type: ignore[list-item]
        (Redo([0], None), r"redo's frames is None; expected an earlier result"),  # type: ignore[arg-type]
        (Redo([0], torch.full((3, 3, 16, 24), float("nan"))), r"redo's frames holds NaN"),
        (Redo([0], torch.zeros(3, 3, 16, 24).byte()), r"redo's frames holds uint8 values"),
    ],
)
def test_no_redo(wrong: Any, says: str, tiny: ToonCrafter) -> None:
    with pytest.raises(ValueError, match=says):
        interpolate(tiny, PAIR, SETTINGS, redo=wrong)


@pytest.mark.parametrize("path", [None, 5, b"model.ckpt"])
def test_no_path(path: Any) -> None:
    for opened in (read_checkpoint, ToonCrafter.load):
        with pytest.raises(ValueError, match=r"path is .*; expected the path of a weight file"):
            opened(path)


def test_no_dtype_and_no_device(tiny_files: tuple[Path, Path]) -> None:
    for dtype in ("float16", torch.int8):
        with pytest.raises(ValueError, match=r"dtype is .*; expected torch.float32, torch.float16, torch.bfloat16"):
            ToonCrafter.load(*tiny_files, dtype=dtype)  # type: ignore[arg-type]
    for device in ("xyz", [], "meta"):
        with pytest.raises(ValueError, match=r"device .* cannot be used"):
            ToonCrafter.load(*tiny_files, device=device)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("guidance_scale", float("nan"), "0 to 100"),
        ("guidance_scale", float("inf"), "0 to 100"),
        ("guidance_rescale", float("-inf"), "0 to 1"),
        ("guidance_from", float("nan"), "0 to 1"),
        ("guidance_to", "1", "a number"),
        ("eta", float("nan"), "0 to 1"),
        ("sketch_strength", float("nan"), "0 to 10"),
        ("sketch_strength", "0.6", "a number"),
        ("eta", True, "a number"),
        ("steps", 2.5, "a whole number"),
        ("steps", float("nan"), "a whole number"),
        ("frames", None, "a whole number, or one for each segment such as 16, 24, 12"),
        ("frames", "16; 24", "a whole number, or one for each segment such as 16, 24, 12"),
        ("frames", [16, 2.5], "a whole number, or one for each segment such as 16, 24, 12"),
        ("frames", True, "a whole number, or one for each segment such as 16, 24, 12"),
        ("frames", (16, 1), "2 or more for each segment, both keyframes included"),
        ("seed", "0", "a whole number"),
        ("seed", True, "a whole number"),
        ("frame_rate", [10], "a whole number"),
        ("prompt", None, "a text"),
        ("negative_prompt", 7, "a text"),
        ("two_pass", 1, "True or False"),
        ("loop", 1, "True or False"),
        ("width", 7, "8 to 16384 pixels"),
        ("height", 0, "8 to 16384 pixels"),
        ("width", 512.0, "a whole number"),
        ("fit", "cover", "one of crop, pad, stretch"),
    ],
    ids=str,
)
def test_settings_of_another_kind(name: str, value: object, expected: str) -> None:
    with pytest.raises(ValueError, match=rf"^{name} is .*; expected {expected}$"):
        Settings(**{name: value})  # type: ignore[arg-type]


def test_whole_numbers_are_numbers() -> None:
    assert Settings(guidance_scale=1, eta=0).guidance_scale == 1


def test_half_a_character() -> None:
    with pytest.raises(ValueError, match="holds half of a character"):
        tokenize("a cat \udc80")


def test_a_device_without_memory() -> None:
    with pytest.raises(ValueError, match="device meta cannot be used"):
        working_device("meta")
