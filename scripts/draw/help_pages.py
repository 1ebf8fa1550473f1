"""Draws the pictures of the nodes' help pages: what each makes of the demo's hop, or of a film of the small model.

python scripts/draw/help_pages.py     # writes web/docs/pictures/; two minutes of one core
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # so that the script runs from anywhere
sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

import kornia
import torch
from PIL import Image
from torch import Tensor

from draw.effects import PLAIN, SETTINGS, ball, board, drawings, kept, model, rows
from draw.frames_page import SPANS, TINT, save
from draw.keyframes import FRAMES, picture
from tooncrafter_core import Redo, interpolate
from tooncrafter_core.evaluation import scenes
from tooncrafter_core.files.images import to_tensor
from tooncrafter_core.files.media import write_frames
from tooncrafter_core.frames.colours import match_colours
from tooncrafter_core.frames.matte import cut_out, key
from tooncrafter_core.frames.retime import distinct, eased, held, parse_curve, take, there_and_back, trimmed
from tooncrafter_core.frames.sheets import OnionSkin, contact_sheet, grid, onion_skin, variants_sheet
from tooncrafter_core.sketches.lines import extract_lines

ROOT = Path(__file__).resolve().parents[2]

FOLDER = ROOT / "web" / "docs" / "pictures"
SIZE = 120, 75
"""Of a drawn frame; the panel is as wide as three or four of them."""

FOUR = (0, 5, 10, 15)
FIVE = (0, 4, 8, 11, 15)
"""Frames shown of sixteen."""


def film() -> Tensor:
    """All frames that the small model draws between two keyframes."""
    return contact_sheet(ball(), 4, keyframes=[0, FRAMES - 1])


def segments() -> Tensor:
    """Eight of the 31 frames between three keyframes."""
    return grid(two_segments()[[0, 4, 8, 12, 15, 20, 25, 30]], 4)


def pictures() -> Tensor:
    """Three drawings in order."""
    return grid(hop()[[0, 7, 15]], 3)


def lines() -> Tensor:
    """Three frames and their lines, as the sketch encoder wants them."""
    frames = hop()[[3, 7, 11]]
    return grid(torch.cat([frames, extract_lines(frames).expand(-1, 3, -1, -1)]), 3)


def guided() -> Tensor:
    """Free; with sketches for frames 4, 8 and 11."""
    return rows([ball(), ball(at=(4, 8, 11))], (0, 4, 8, 15))


def again() -> Tensor:
    """Three keyframes; the same with another seed in the second segment."""
    again = interpolate(model(), drawings(0, 0.5, 1), replace(SETTINGS, seed=5), redo=Redo([1], two_segments()))
    return rows([two_segments(), again], (0, 8, 20, 25))


def seeds() -> Tensor:
    """What Seed Sheet shows of three seeds."""
    return variants_sheet([ball(seed=seed) for seed in range(3)], ["seed 0", "seed 1", "seed 2"], 4)


def shots() -> Tensor:
    """The keyframes of two shots."""
    return grid(torch.stack([*(scenes.picture(PLAIN, moment) for moment in (0, 1)), *ball()[[0, 15]]]), 2)


def eased_frames() -> Tensor:
    """Five frames at constant speed, and along `cubic in-out`."""
    return moved(*(eased(SPANS, parse_curve(curve), 5) for curve in ("linear", "cubic in-out")))


def on_threes() -> Tensor:
    """Five frames, and the same on threes."""
    return moved(torch.arange(5), held(SPANS, 3)[:5])


def without_neighbours() -> Tensor:
    """What is left of 16 frames without three on each side of a keyframe."""
    return moved(trimmed(SPANS, 3))


def back() -> Tensor:
    """Six frames there, and four back."""
    return moved(there_and_back(6, repeat_ends=False) * 3)


def no_duplicates() -> Tensor:
    """Frames on twos, and without what comes twice."""
    twice = take(hop(), held(SPANS, 2))[:10]
    return grid(torch.cat([twice, twice[distinct(twice, 2.0).long()]]), 5)


def colours() -> Tensor:
    """With a tint that grows to the middle, and matched."""
    growth = torch.sin(torch.linspace(0, torch.pi, FRAMES))[:, None, None, None]
    drifted = kornia.color.lab_to_rgb(kornia.color.rgb_to_lab(hop()) + growth * torch.tensor(TINT)[:, None, None])
    return rows([drifted, match_colours(drifted, SPANS)], FIVE)


def matte() -> Tensor:
    """A figure on a plain ground, and cut out, over a chequered board."""
    frames = interpolate(model(), [scenes.picture(PLAIN, moment) for moment in (0, 1)], SETTINGS)
    alpha = key(frames, 6, 24)
    colour = cut_out(frames, alpha)[:, :3]
    return rows([frames, alpha * colour + (1 - alpha) * board(frames)], FOUR)


def sheet() -> Tensor:
    return contact_sheet(hop(), 4, keyframes=[0, FRAMES - 1], sketches=[7])


def onion() -> Tensor:
    """Two neighbours on each side; four before."""
    skins = OnionSkin(2, 2), OnionSkin(4, 0, opacity=0.8)
    return grid(torch.stack([onion_skin(hop(), 7, skin) for skin in skins]), 2)


PICTURES: dict[str, Callable[[], Tensor]] = {
    "Loader": film,
    "EncodeKeyframes": segments,
    "LoadPictures": pictures,
    "ExtractSketch": lines,
    "SketchGuide": guided,
    "Sampler": again,
    "DualRefDecode": kept,
    "SeedSheet": seeds,
    "ShotList": shots,
    "Retime": eased_frames,
    "HoldFrames": on_threes,
    "TrimKeyframes": without_neighbours,
    "PingPong": back,
    "DropDuplicates": no_duplicates,
    "MatchColours": colours,
    "Matte": matte,
    "ContactSheet": sheet,
    "OnionSkin": onion,
}


@cache
def two_segments() -> Tensor:
    """31 frames between three keyframes, by the small model."""
    return interpolate(model(), drawings(0, 0.5, 1), SETTINGS)


@cache
def hop() -> Tensor:
    """The demo's drawing at sixteen moments (16, 3, H, W)."""
    moments = [picture(frame / (FRAMES - 1)).resize(SIZE, Image.Resampling.LANCZOS) for frame in range(FRAMES)]
    return torch.stack([to_tensor(moment) for moment in moments])


def moved(*ways: Sequence[int] | Tensor) -> Tensor:
    """Frames of the hop at positions, five in a row."""
    return grid(torch.cat([take(hop(), torch.as_tensor(way)) for way in ways]), 5)


def main() -> None:
    argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter).parse_args()
    for name, draw in PICTURES.items():
        save(draw(), FOLDER / f"{name}.png")
    write_frames(hop(), FOLDER / "SaveGif.gif", 12)


if __name__ == "__main__":
    main()
