"""Draws the picture of docs/sketches.md with the functions behind the nodes, on the demo's hopping ball. No model runs.

python scripts/draw_sketches_page.py     # writes docs/sketches/extracted.png
"""

from __future__ import annotations

import sys
from pathlib import Path

import torch
from draw_frames_page import pixels, save
from draw_keyframes import FRAMES, picture

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from tooncrafter_core.frames.sheets import grid  # noqa: E402
from tooncrafter_core.sketches.indices import parse_frame_indices  # noqa: E402
from tooncrafter_core.sketches.lines import extract_lines  # noqa: E402
from tooncrafter_core.timeline import place_sketches  # noqa: E402


def main() -> None:
    clip = torch.stack([pixels(picture(frame / (FRAMES - 1))) for frame in range(FRAMES)])
    picked = parse_frame_indices("bisect:2", None, FRAMES)
    lines = dict(zip(picked, extract_lines(clip[picked]), strict=True))
    hints = place_sketches(lines, [FRAMES]).expand(-1, 3, -1, -1)
    shown = [0, *picked, FRAMES - 1]
    save(grid(torch.cat([clip[shown], hints[shown]]), len(shown)), ROOT / "docs" / "sketches" / "extracted.png")


if __name__ == "__main__":
    main()
