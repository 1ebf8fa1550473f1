"""Pictures are read as they look."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from tooncrafter_core.files.media import read_image
from tooncrafter_core.files.pictures import picture_files


@pytest.mark.parametrize(("mode", "colour"), [("RGB", (51, 102, 204)), ("L", 102), ("RGBA", (51, 102, 204, 255))])
def test_modes(mode: str, colour: object, tmp_path: Path) -> None:
    image = Image.new(mode, (5, 3), colour)  # type: ignore[arg-type]
    image.save(tmp_path / "p.png")
    red, green, blue, *_ = colour * 3 if isinstance(colour, tuple) else (colour,) * 3
    expected = torch.tensor([red, green, blue]).view(3, 1, 1).expand(3, 3, 5) / 255
    assert torch.allclose(read_image(tmp_path / "p.png"), expected)


def test_what_is_transparent_becomes_white(tmp_path: Path) -> None:
    image = Image.new("RGBA", (4, 4), (0, 0, 0, 0))
    image.putpixel((0, 0), (0, 0, 0, 255))
    image.save(tmp_path / "p.png")
    pixels = read_image(tmp_path / "p.png")
    assert (pixels[:, 0, 0] == 0).all()
    assert (pixels[:, 1:] == 1).all()


def test_what_is_transparent_comes_on_a_chosen_colour(tmp_path: Path) -> None:
    image = Image.new("RGBA", (2, 1), (0, 0, 0, 0))
    image.putpixel((0, 0), (0, 0, 255, 51))
    image.save(tmp_path / "p.png")
    pixels = read_image(tmp_path / "p.png", (1.0, 0.2, 0.0))
    assert torch.allclose(pixels[:, 0, 1], torch.tensor([1.0, 0.2, 0.0]))
    assert torch.allclose(pixels[:, 0, 0], torch.tensor([0.8, 0.16, 0.2]), atol=0.01)


def test_16_bit_grey(tmp_path: Path) -> None:
    Image.fromarray(np.full((4, 4), 32768, np.uint16)).save(tmp_path / "p.png")
    assert torch.allclose(read_image(tmp_path / "p.png"), torch.tensor(0.5), atol=0.01)


@pytest.mark.parametrize(("mode", "value"), [("F", 0.5), ("I", 70000), ("I", -1)])
def test_numbers_that_are_no_grey_of_16_bits(mode: str, value: float, tmp_path: Path) -> None:
    """Cut to what a picture can have, they would be black, white or anything else."""
    Image.new(mode, (4, 4), value).save(tmp_path / "p.tiff")
    with pytest.raises(ValueError, match=rf"p.tiff is damaged, or no picture .*numbers from {value}.*Save it as a PNG"):
        read_image(tmp_path / "p.tiff")


def test_a_name_that_is_not_utf_8_is_told_in_words_that_are(tmp_path: Path) -> None:
    """ComfyUI's queue ends where it cannot send a message."""
    for name in (b"old\xff.png", b"\xed\xa0\x80.png"):
        file = tmp_path / os.fsdecode(name)
        with pytest.raises(FileNotFoundError) as raised:
            read_image(file)
        str(raised.value).encode()
        file.write_bytes(b"no picture")
        with pytest.raises(ValueError, match=r"\\x.*png is not a picture") as refused:
            read_image(file)
        str(refused.value).encode()


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("/proc/self/mem", "/proc/self/mem cannot be read: Input/output error; expected a picture"),
        ("/dev/null", "/dev/null is a device or a pipe; expected a picture"),
    ],
)
def test_what_the_system_does_not_read(name: str, message: str) -> None:
    (file,) = picture_files([name], Path("/"))
    with pytest.raises(ValueError, match=message):
        read_image(file)


def test_turned_photograph(tmp_path: Path) -> None:
    image = Image.new("RGB", (16, 8))
    exif = image.getexif()
    exif[0x0112] = 6  # the top of the picture is at its right
    image.save(tmp_path / "p.jpg", exif=exif)
    assert read_image(tmp_path / "p.jpg").shape == (3, 16, 8)
