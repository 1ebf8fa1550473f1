"""Draws the picture of docs/sketches.md with the functions behind the nodes, on the demo's hopping ball. No model runs.

python scripts/draw/sketches_page.py     # writes docs/sketches/extracted.png
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # so that the script runs from anywhere
sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

import torch

from draw.frames_page import pixels, save
from draw.keyframes import FRAMES, picture
from tooncrafter_core.frames.sheets import grid
from tooncrafter_core.sketches.indices import parse_frame_indices
from tooncrafter_core.sketches.lines import extract_lines
from tooncrafter_core.timeline import place_sketches

ROOT = Path(__file__).resolve().parents[2]


def main() -> None:
    argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter).parse_args()
    clip = torch.stack([pixels(picture(frame / (FRAMES - 1))) for frame in range(FRAMES)])
    picked = parse_frame_indices("bisect:2", None, FRAMES)
    lines = dict(zip(picked, extract_lines(clip[picked]), strict=True))
    hints = place_sketches(lines, [FRAMES]).expand(-1, 3, -1, -1)
    shown = [0, *picked, FRAMES - 1]
    save(grid(torch.cat([clip[shown], hints[shown]]), len(shown)), ROOT / "docs" / "sketches" / "extracted.png")


if __name__ == "__main__":
    main()
