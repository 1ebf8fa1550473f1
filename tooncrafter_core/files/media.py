"""Pictures from files, and frames to files."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import av
import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError
from torch import Tensor

from ..frames.sheets import Colour, grid
from ..inputs import printable
from .images import MOST_ELONGATED, has_picture_shape, to_tensor
from .places.own import MARK, UNREADABLE, is_replaceable, save_marked
from .whole import check_file, check_folder, folder_written_whole, written_whole

_ANIMATIONS = (".webp", ".gif")
_SHEETS = (".png", ".jpg", ".jpeg", ".webp", ".bmp", ".tif", ".tiff")
"""Endings of contact sheets."""
_COLUMNS = 4
"""Frames in a row of a contact sheet."""
_LONGEST_SIDE = {".mp4": 16384, ".webp": 16383, ".gif": 65535, ".jpg": 65500, ".jpeg": 65500}
"""Most pixels a side that the encoders take."""
_WIDE_GREY = ("I", "I;16", "I;16L", "I;16B", "I;16N", "F")
"""Pillow's modes of pictures with 16 bits of grey, or with more."""
_WIDEST = 65535


def read_image(path: str | Path, paper: Colour = (1.0, 1.0, 1.0)) -> Tensor:
    """Read a picture as RGB (3, H, W) in [0, 1], turned as its camera says; of an animation the first frame.

    Args:
        path: the file.
        paper: what shows through where it is transparent, RGB in [0, 1].

    Raises:
        FileNotFoundError: no such file.
        ValueError: not a picture, or not a whole one.
    """
    with _opened(path) as image:
        upright = ImageOps.exif_transpose(image)
        if upright.mode in _WIDE_GREY:  # Pillow would clip it to 8 bits
            upright = _narrowed(upright)
        rgba = upright.convert("RGBA")
    red, green, blue = (round(255 * value) for value in paper)
    below = Image.new("RGBA", rgba.size, (red, green, blue, 255))
    return to_tensor(Image.alpha_composite(below, rgba))


def check_image(path: str | Path) -> None:
    """Raise what `read_image` would, and ValueError for a strip, as far as the file's first bytes tell."""
    with _opened(path) as image:
        width, height = image.size
    if not has_picture_shape(height, width):
        raise ValueError(
            f"{printable(path)} is {width} x {height} pixels; expected sides of at most {MOST_ELONGATED} to 1"
        )


@contextmanager
def _opened(path: str | Path) -> Iterator[Image.Image]:
    """Pillow's picture; see `read_image` for what is raised, also of what is done with it."""
    if os.path.isdir(path):  # Path.is_dir raises where a name is too long
        raise ValueError(f"{printable(path)} is a folder; expected a picture")
    if not os.path.exists(path):
        raise FileNotFoundError(f"there is no picture {printable(path)}; check the path")
    if not os.path.isfile(path):
        raise ValueError(f"{printable(path)} is a device or a pipe; expected a picture")
    try:
        with Image.open(path) as image:
            yield image
    except UnidentifiedImageError as error:
        raise ValueError(f"{printable(path)} is not a picture; expected a PNG, JPEG or WebP file") from error
    except UNREADABLE as error:
        if isinstance(error, OSError) and error.strerror is not None:  # the system's: no permission, a broken disk
            raise ValueError(
                f"{printable(path)} cannot be read: {error.strerror}; expected a picture. Check the file's permissions "
                "and its disk"
            ) from error
        raise ValueError(f"{printable(path)} is damaged, or no picture that can be read: {error}") from error


def _narrowed(picture: Image.Image) -> Image.Image:
    """Grey of 16 bits in 8; ValueError for numbers that are of no such grey."""
    grey = np.asarray(picture)
    if picture.mode == "F" or grey.min() < 0 or grey.max() > _WIDEST:
        raise ValueError(
            f"it holds {'floating-point ' if picture.mode == 'F' else ''}numbers from {grey.min():g} to "
            f"{grey.max():g}; expected 8 or 16 bits a channel. Save it as a PNG"
        )
    return Image.fromarray((grey / 257).round().astype(np.uint8))


def check_output(path: str | Path, width: int, height: int) -> None:
    """Raise ValueError unless `write_frames` can write frames of this size (pixels) to this path."""
    path = Path(path)
    suffix = path.suffix.lower()
    if suffix not in ("", ".mp4", *_ANIMATIONS):
        single = ": a single picture is no film" if suffix in _SHEETS else ""
        raise ValueError(f"cannot write {suffix} files{single}; expected .mp4, .webp, .gif or a folder for PNGs")
    if suffix == ".mp4" and (width % 2 or height % 2):
        raise ValueError(f"an .mp4 has an even width and height; {width} x {height} can be .webp, .gif or PNGs")
    _check_sides(suffix, width, height)
    if suffix:
        check_file(path)
    else:
        check_folder(path)


def check_contact_sheet(path: str | Path, count: int, width: int, height: int) -> None:
    """Raise ValueError unless `write_contact_sheet` can write this many frames of this size (pixels) to this path."""
    suffix = Path(path).suffix.lower()
    if suffix not in _SHEETS:
        raise ValueError(f"cannot write {suffix or 'nameless'} pictures; expected one of {', '.join(_SHEETS)}")
    _check_sides(suffix, width * _COLUMNS, height * -(-count // _COLUMNS))
    check_sheet_file(Path(path))


def check_sheet_file(path: Path) -> None:
    """Raise ValueError where `write_contact_sheet` cannot write, or would replace what is no contact sheet of ours."""
    check_file(path)
    if not is_replaceable(path.resolve()):
        raise ValueError(
            f"{path} is there and would be lost; name a new file, or a contact sheet of an earlier run (EXIF says "
            f"{MARK} is its software, for which a .bmp has no room). If nobody needs it, remove it"
        )


def _check_sides(suffix: str, width: int, height: int) -> None:
    """Raise ValueError where a picture has a side that this kind of file cannot have."""
    most = _LONGEST_SIDE.get(suffix)
    if most is not None and max(width, height) > most:
        raise ValueError(f"{width} x {height} pixels are more than a {suffix} can have ({most} a side); write PNG")


def write_frames(frames: Tensor, path: str | Path, frame_rate: int) -> None:
    """Write frames (n, 3, H, W) in [0, 1] to `.mp4`, `.webp`, `.gif`, or to a folder of PNGs.

    The result appears whole or not at all, see `whole`. It takes the place of a file of that name, or of a folder that
    is empty or holds nothing but frames that this has written.

    Raises:
        ValueError: see `check_output`.
        OSError: it cannot be written.
    """
    check_output(path, frames.shape[-1], frames.shape[-2])
    path = Path(path)
    images = [_to_image(frame) for frame in frames]
    if not path.suffix:
        with folder_written_whole(path) as folder:
            for index, image in enumerate(images):
                save_marked(image, folder / f"{index:04}.png")
        return
    with written_whole(path) as unfinished:
        if path.suffix.lower() == ".mp4":
            _write_mp4(images, unfinished, frame_rate)
        else:
            duration = round(1000 / frame_rate)
            images[0].save(unfinished, save_all=True, append_images=images[1:], duration=duration, loop=0)


def write_contact_sheet(frames: Tensor, path: str | Path, columns: int = _COLUMNS) -> None:
    """Write all frames (n, 3, H, W) in [0, 1] as one picture, row by row; it appears whole or not at all.

    Raises:
        OSError: it cannot be written.
    """
    with written_whole(Path(path)) as unfinished:
        save_marked(_to_image(grid(frames, columns)), unfinished)


def _to_image(frame: Tensor) -> Image.Image:
    pixels = (frame.clamp(0, 1) * 255).round().byte().permute(1, 2, 0)
    return Image.fromarray(pixels.cpu().numpy())


def _write_mp4(images: list[Image.Image], path: Path, frame_rate: int) -> None:
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=frame_rate, options={"crf": "16"})
        stream.width, stream.height = images[0].size
        stream.pix_fmt = "yuv420p"
        for image in images:
            container.mux(stream.encode(av.VideoFrame.from_image(image)))
        container.mux(stream.encode())
