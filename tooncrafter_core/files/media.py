"""Pictures from files, and frames to files."""

from __future__ import annotations

from pathlib import Path

import av
import numpy as np
import torch
from PIL import Image, ImageOps, UnidentifiedImageError
from torch import Tensor

_ANIMATIONS = (".webp", ".gif")
_WIDE_GREY = ("I", "I;16", "I;16L", "I;16B", "I;16N")
"""Pillow's modes of pictures with 16 bits of grey."""


def read_image(path: str | Path) -> Tensor:
    """Read a picture as RGB (3, H, W) in [0, 1], turned as its camera says; what is transparent becomes white.

    Raises:
        FileNotFoundError: no such file.
        ValueError: not a picture.
    """
    try:
        with Image.open(path) as image:
            upright = ImageOps.exif_transpose(image)
            if upright.mode in _WIDE_GREY:  # Pillow would clip it to 8 bits
                upright = Image.fromarray((np.asarray(upright) / 257).round().astype(np.uint8))
            rgba = upright.convert("RGBA")
    except UnidentifiedImageError as error:
        raise ValueError(f"{path} is not a picture; expected a PNG, JPEG or WebP file") from error
    paper = Image.new("RGBA", rgba.size, "white")
    pixels = np.asarray(Image.alpha_composite(paper, rgba).convert("RGB"))
    return torch.from_numpy(pixels.copy()).permute(2, 0, 1).float() / 255


def check_output(path: str | Path, width: int, height: int) -> None:
    """Raise ValueError unless `write_frames` can write frames of this size (pixels) to this path."""
    suffix = Path(path).suffix.lower()
    if suffix not in ("", ".mp4", *_ANIMATIONS):
        raise ValueError(f"cannot write {suffix} files; expected .mp4, .webp, .gif or a folder for PNGs")
    if suffix == ".mp4" and (width % 2 or height % 2):
        raise ValueError(f"an .mp4 has an even width and height; {width} x {height} can be .webp, .gif or PNGs")
    if suffix == "" and Path(path).is_file():
        raise ValueError(f"{path} is a file; expected a folder for PNGs")
    _check_parent(path)


def check_picture(path: str | Path) -> None:
    """Raise ValueError unless `write_contact_sheet` can write to this path."""
    suffix = Path(path).suffix.lower()
    if suffix not in Image.registered_extensions():
        raise ValueError(f"cannot write {suffix or 'nameless'} pictures; expected an ending such as .png or .jpg")
    _check_parent(path)


def write_frames(frames: Tensor, path: str | Path, frame_rate: int) -> None:
    """Write frames (n, 3, H, W) in [0, 1] to `.mp4`, `.webp`, `.gif`, or to a folder of PNGs.

    Raises:
        ValueError: another file ending, or an odd size for `.mp4`.
    """
    check_output(path, frames.shape[-1], frames.shape[-2])
    path = Path(path)
    suffix = path.suffix.lower()
    images = [_to_image(frame) for frame in frames]
    (path.parent if suffix else path).mkdir(parents=True, exist_ok=True)
    if suffix == ".mp4":
        _write_mp4(images, path, frame_rate)
    elif suffix in _ANIMATIONS:
        duration = round(1000 / frame_rate)
        images[0].save(path, save_all=True, append_images=images[1:], duration=duration, loop=0)
    else:
        for index, image in enumerate(images):
            image.save(path / f"{index:04}.png")


def _check_parent(path: str | Path) -> None:
    """Raise ValueError when a file is where a folder above this path would have to be."""
    blocking = next((parent for parent in Path(path).absolute().parents if parent.is_file()), None)
    if blocking is not None:
        raise ValueError(f"cannot write {path}: {blocking} is a file, not a folder")


def write_contact_sheet(frames: Tensor, path: str | Path, columns: int = 4) -> None:
    """Write all frames (n, 3, H, W) in [0, 1] as one picture, row by row."""
    count, channels, height, width = frames.shape
    rows = -(-count // columns)
    sheet = torch.ones(rows * columns, channels, height, width)
    sheet[:count] = frames
    grid = sheet.unflatten(0, (rows, columns)).permute(2, 0, 3, 1, 4).reshape(channels, rows * height, -1)
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    _to_image(grid).save(path)


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
