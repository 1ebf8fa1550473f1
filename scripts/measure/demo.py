"""How near the demo's frames come to the drawings they stand for: F1 of their lines, frame by frame.

    bash scripts/demo.sh
    .venv/bin/python scripts/measure/demo.py

The true drawings are those of `draw/keyframes.py`, at the demo's size. Lines match where they are one pixel apart at
most.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # so that the script runs from anywhere
sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

import numpy as np
import torch
from draw.keyframes import FRAMES, ROOT, picture
from torch import Tensor

from tooncrafter_core.evaluation.clips import read_frames
from tooncrafter_core.evaluation.command import exit_status
from tooncrafter_core.evaluation.measures.measure import lines_of
from tooncrafter_core.evaluation.metrics import line_f1, psnr
from tooncrafter_core.files.images import fit_images


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--demo", type=Path, default=ROOT / "output" / "demo", help="folder (default %(default)s)")
    demo = parser.parse_args().demo
    return exit_status(lambda: measure(demo))


def measure(demo: Path) -> str:
    """A line for each folder of frames.

    Raises:
        ValueError: there are none, or one holds anything but the demo's frames.
    """
    folders = sorted(path for path in demo.iterdir() if path.is_dir()) if demo.is_dir() else []
    if not folders:
        raise ValueError(f"{demo} has no folders of frames; expected those of scripts/demo.sh, run it or name another")
    lines = []
    for folder, paths in {folder: _paths(folder) for folder in folders}.items():
        frames = read_frames(paths)
        truth = _truth(*frames.shape[:-3:-1])
        matches = line_f1(lines_of(frames), lines_of(truth))
        each = " ".join(f"{match:.2f}" for match in matches)
        decibel = psnr(frames[1:-1], truth[1:-1])
        lines.append(f"{folder.name}: {each}; least {min(matches):.2f}; frames between {decibel:.1f} dB\n")
    return "".join(lines)


def _paths(folder: Path) -> list[Path]:
    """The pictures of all frames; ValueError where they are not as many as the demo has."""
    paths = sorted(folder.glob("*.png"))
    if len(paths) != FRAMES:
        raise ValueError(f"{folder} has {len(paths)} PNG files; expected {FRAMES}, run scripts/demo.sh without changes")
    return paths


def _truth(width: int, height: int) -> Tensor:
    """All frames of the hop (t, 3, height, width), as the demo fits its keyframes."""
    drawn = np.stack([picture(frame / (FRAMES - 1)) for frame in range(FRAMES)])
    return fit_images(torch.from_numpy(drawn).permute(0, 3, 1, 2) / 255, width, height, "crop")


if __name__ == "__main__":
    sys.exit(main())
