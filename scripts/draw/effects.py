"""Draws the pictures of docs/effects.md: what nodes and settings do to films of the small model.

python scripts/draw/effects.py     # writes docs/effects/; two minutes of one core
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

import torch
from torch import Tensor

from draw.frames_page import save
from draw.keyframes import picture, sketch
from tooncrafter_core import Redo, Settings, Sketch, ToonCrafter, interpolate
from tooncrafter_core.evaluation import scenes
from tooncrafter_core.files.images import to_tensor
from tooncrafter_core.frames.colours import match_colours
from tooncrafter_core.frames.matte import cut_out, key
from tooncrafter_core.frames.retime import eased, held, parse_curve, take
from tooncrafter_core.frames.sheets import contact_sheet, grid
from tooncrafter_core.frames.spans import spans_of_frames

ROOT = Path(__file__).resolve().parents[2]

FOLDER = ROOT / "docs" / "effects"
TINY = ROOT / "assets" / "tooncrafter-tiny"
MODEL = TINY / "tooncrafter-tiny.safetensors"
SETTINGS = Settings(
    width=128, height=64, frame_rate=24, steps=2, guidance_scale=1.0, clean_end=True, sketch_strength=1.0
)
"""What the model's file says it works best with."""
SIX = (0, 3, 6, 9, 12, 15)
"""Frames shown of sixteen."""
PLAIN = scenes.scenes(1, seed=3)[0]
"""A figure on a plain ground."""


def sketches() -> Tensor:
    """Free; with a sketch in the middle; with three."""
    return rows([ball(), ball(at=(7,)), ball(at=(4, 8, 11))], SIX)


def seeds() -> Tensor:
    """Three seeds of the same keyframes."""
    return rows([ball(seed=seed) for seed in range(3)], SIX)


def redone() -> Tensor:
    """Three keyframes; the same with the second segment drawn again with another seed."""
    keyframes = drawings(0, 0.5, 1)
    first = interpolate(model(), keyframes, SETTINGS)
    again = interpolate(model(), keyframes, replace(SETTINGS, seed=5), redo=Redo([1], first))
    return rows([first, again], range(0, 31, 3))


def counts() -> Tensor:
    """16 frames to the second keyframe, 8 to the third."""
    frames = interpolate(model(), drawings(0, 0.5, 1), replace(SETTINGS, frames="16, 8"))
    return contact_sheet(frames, 12, keyframes=[0, 15, 22])


def kept() -> Tensor:
    """The two frames at each end, as decoded; with the keyframes kept."""
    films = [ball(), interpolate(model(), drawings(0, 1), replace(SETTINGS, keep_keyframes=True))]
    return rows(films, (0, 1, 14, 15))


def timing() -> Tensor:
    """Eight frames: at constant speed, along `cubic in-out`, the first eight on twos."""
    spans = spans_of_frames(16, 16)
    ways = [eased(spans, parse_curve(curve), 8) for curve in ("linear", "cubic in-out")]
    return grid(torch.cat([take(ball(at=(7,)), way) for way in [*ways, held(spans, 2)[:8]]]), 8)


def colours() -> Tensor:
    """As drawn; with colours matched to the keyframes."""
    return rows([ball(at=(7,)), match_colours(ball(at=(7,)), spans_of_frames(16, 16))], SIX)


def matte() -> Tensor:
    """A figure on a plain ground; cut out, over a chequered board."""
    frames = interpolate(model(), [scenes.picture(PLAIN, 0), scenes.picture(PLAIN, 1)], SETTINGS)
    alpha = key(frames, 6, 24)
    colour = cut_out(frames, alpha)[:, :3]
    return rows([frames, alpha * colour + (1 - alpha) * board(frames)], SIX)


def long() -> Tensor:
    """Eleven of 16, of 31 and of 64 frames between the same keyframes."""
    films = [ball(), ball(frames=31), ball(frames=64)]
    shown = [torch.linspace(0, len(film) - 1, 11).round().long() for film in films]
    return grid(torch.cat([film[each] for film, each in zip(films, shown, strict=True)]), 11)


def loop() -> Tensor:
    """There and back in 30 frames, after the last of which comes the first."""
    frames = interpolate(model(), drawings(0, 1), replace(SETTINGS, loop=True))
    return grid(frames[[*range(0, 30, 3), 0]], 11)


EFFECTS: dict[str, Callable[[], Tensor]] = {
    drawn.__name__: drawn for drawn in (sketches, seeds, redone, counts, kept, timing, colours, matte, long, loop)
}


@cache
def model() -> ToonCrafter:
    return ToonCrafter.load(MODEL, TINY / "tooncrafter-tiny-sketch.safetensors", dtype=torch.float32)


@cache
def ball(at: tuple[int, ...] = (), seed: int = 0, frames: int = 16) -> Tensor:
    """The demo's hop, with sketches at some frames."""
    guides = {frame: Sketch(to_tensor(sketch(frame / (frames - 1)))) for frame in at}
    return interpolate(model(), drawings(0, 1), replace(SETTINGS, seed=seed, frames=frames), guides)


def drawings(*moments: float) -> list[Tensor]:
    return [to_tensor(picture(moment)) for moment in moments]


def rows(films: Sequence[Tensor], shown: Sequence[int]) -> Tensor:
    """Some frames of each film, a row for each."""
    return grid(torch.cat([film[list(shown)] for film in films]), len(shown))


def board(frames: Tensor) -> Tensor:
    """Light and dark squares of 8 pixels (H, W)."""
    height, width = frames.shape[-2:]
    tiles = (torch.arange(height)[:, None] // 8 + torch.arange(width) // 8) % 2
    return 0.6 + 0.3 * tiles


def main() -> None:
    argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter).parse_args()
    for name, draw in EFFECTS.items():
        save(draw(), FOLDER / f"{name}.png")


if __name__ == "__main__":
    main()
