"""Contact sheets: true frames, the model's and a cross-dissolve, one row each, to look at."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from PIL import Image, ImageDraw
from torch import Tensor

from ...files.places.own import is_replaceable, save_marked
from ...files.whole import written_whole
from .windows import as_bytes

COLUMNS = (0, 2, 5, 7, 8, 10, 13, 15)
"""Frames that are shown."""

SHEETS = "sheets"
"""In the output folder."""
SCALE = 2
"""Every pixel becomes a square of this side."""

_LABEL, _TITLE, _GAP = 72, 16, 2
_PER_SHEET = 4


@dataclass(frozen=True)
class Block:
    """One clip: a title, and rows of frames (t, 3, H, W) in [0, 1] by name."""

    title: str
    rows: dict[str, Tensor]

    def draw(self) -> Image.Image:
        strips = {name: _strip(frames) for name, frames in self.rows.items()}
        width, height = next(iter(strips.values())).size
        image = Image.new("RGB", (_LABEL + width, _TITLE + (height + _GAP) * len(strips)), "white")
        pen = ImageDraw.Draw(image)
        pen.text((2, 2), self.title, fill="black")
        for index, (name, strip) in enumerate(strips.items()):
            top = _TITLE + index * (height + _GAP)
            pen.text((2, top + height // 2), name, fill="black")
            image.paste(strip, (_LABEL, top))
        return image


def check_sheets(folder: Path) -> None:
    """Raise ValueError where pictures of somebody else's lie among the sheets, which have many names."""
    if others := sorted(path.name for path in folder.glob("*.png") if not is_replaceable(path)):
        raise ValueError(
            f"{folder} holds pictures of somebody else's, or of a version before 0.2 ({', '.join(others[:3])}), which "
            "would be lost; rename it, or name another folder"
        )


def write_sheets(folder: Path, name: str, blocks: Sequence[Block]) -> list[Path]:
    """Write the blocks, four on each picture: `NAME_1.png`, `NAME_2.png`, ...; returns the files."""
    files: list[Path] = []
    for start in range(0, len(blocks), _PER_SHEET):
        path = folder / f"{name}_{start // _PER_SHEET + 1}.png"
        with written_whole(path) as unfinished:
            save_marked(_stack([block.draw() for block in blocks[start : start + _PER_SHEET]]), unfinished)
        files.append(path)
    return files


def _strip(frames: Tensor) -> Image.Image:
    """The shown frames side by side, scaled up without smoothing."""
    shown = as_bytes(frames[[column for column in COLUMNS if column < len(frames)]])
    height, width = SCALE * shown.shape[-2], SCALE * shown.shape[-1]
    strip = Image.new("RGB", ((width + _GAP) * len(shown) - _GAP, height), "white")
    for index, frame in enumerate(shown.permute(0, 2, 3, 1)):
        image = Image.fromarray(frame.cpu().numpy()).resize((width, height), Image.Resampling.NEAREST)
        strip.paste(image, (index * (width + _GAP), 0))
    return strip


def _stack(images: Sequence[Image.Image]) -> Image.Image:
    sheet = Image.new("RGB", (max(image.width for image in images), sum(image.height for image in images)), "white")
    top = 0
    for image in images:
        sheet.paste(image, (0, top))
        top += image.height
    return sheet
