"""Draws the pictures of docs/frames.md with the functions behind the nodes, on the demo's hopping ball. No model runs.

python scripts/draw/frames_page.py     # writes docs/frames/
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # so that the script runs from anywhere
sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

import kornia
import torch
from PIL import Image
from torch import Tensor

from draw.keyframes import FRAMES, picture
from tooncrafter_core.files.images import to_tensor
from tooncrafter_core.frames.colours import match_colours
from tooncrafter_core.frames.retime import eased, held, parse_curve, take
from tooncrafter_core.frames.sheets import OnionSkin, contact_sheet, grid, onion_skin
from tooncrafter_core.frames.spans import spans_of_frames

ROOT = Path(__file__).resolve().parents[2]

FOLDER = ROOT / "docs" / "frames"
WIDTH, HEIGHT = 192, 120
SPANS = spans_of_frames(FRAMES, FRAMES)
TINT = (-6.0, 2.0, 3.0)
"""In Lab, in the middle of the clip."""


def main() -> None:
    argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter).parse_args()
    clip = torch.stack([pixels(picture(frame / (FRAMES - 1))) for frame in range(FRAMES)])
    save(contact_sheet(clip, 8, keyframes=[0, FRAMES - 1], sketches=[7]), FOLDER / "sheet.png")
    save(grid(_skins(clip), 2), FOLDER / "onion.png")
    save(_timings(clip), FOLDER / "timing.png")
    save(_colours(clip), FOLDER / "colours.png")


def _skins(clip: Tensor) -> Tensor:
    return torch.stack([onion_skin(clip, 7, OnionSkin(2, 2)), onion_skin(clip, 7, OnionSkin(4, 0, opacity=0.8))])


def _timings(clip: Tensor) -> Tensor:
    """Eight frames each: at constant speed, eased, on twos."""
    ways = [eased(SPANS, parse_curve(curve), 8) for curve in ("linear", "cubic in-out")]
    return grid(torch.cat([take(clip, way) for way in [*ways, held(SPANS, 2)[:8]]]), 8)


def _colours(clip: Tensor) -> Tensor:
    """As it should be, with a tint that grows to the middle, and matched; the numbers go to standard output."""
    growth = torch.sin(torch.linspace(0, torch.pi, FRAMES))[:, None, None, None]
    drifted = kornia.color.lab_to_rgb(kornia.color.rgb_to_lab(clip) + growth * torch.tensor(TINT)[:, None, None])
    matched, clean = match_colours(drifted, SPANS), match_colours(clip, SPANS)
    for name, frames in (("tinted", drifted), ("matched", matched), ("a clean clip, matched", clean)):
        error = 255 * (frames - clip).abs()
        sys.stdout.write(
            f"{name}: {error.mean():.2f} levels from the truth on average, {error[8].mean():.2f} in frame 8\n"
        )
    return grid(torch.cat([frames[[0, 4, 8, 11, 15]] for frames in (clip, drifted, matched)]), 5)


def pixels(drawing: Image.Image) -> Tensor:
    """A small copy of a drawing (3, HEIGHT, WIDTH) in [0, 1]."""
    return to_tensor(drawing.resize((WIDTH, HEIGHT), Image.Resampling.LANCZOS))


def save(sheet: Tensor, path: Path) -> None:
    """Write a picture (3, H, W) in [0, 1] as a PNG of 128 colours."""
    path.parent.mkdir(parents=True, exist_ok=True)
    levels = (sheet.clamp(0, 1) * 255).round().byte().permute(1, 2, 0).numpy()
    Image.fromarray(levels).quantize(128, dither=Image.Dither.NONE).save(path, optimize=True)


if __name__ == "__main__":
    main()
