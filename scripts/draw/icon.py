"""Draws assets/icon.png, the pack's picture in ComfyUI's registry: the demo's keyframes, pale, and what is between.

.venv/bin/python scripts/draw/icon.py
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # so that the script runs from anywhere
sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from PIL import Image, ImageChops, ImageFilter

from draw.keyframes import ROOT, picture

SIDE = 320
"""Pixels; the registry takes squares of at most 400."""
LEFT = 85
GAP = 15
"""Pixels: gaps in the figure, where it has the colour of a keyframe's, are no wider."""


def main() -> None:
    argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter).parse_args()
    first, middle, last = (_square(picture(moment)) for moment in (0.0, 0.5, 1.0))
    figure = ImageChops.darker(_differs(middle, first), _differs(middle, last))
    closed = figure.filter(ImageFilter.MaxFilter(GAP)).filter(ImageFilter.MinFilter(GAP))
    keyframes = Image.blend(first, last, 0.5)
    Image.composite(middle, keyframes, closed).save(ROOT / "assets" / "icon.png", optimize=True)


def _square(scene: Image.Image) -> Image.Image:
    return scene.convert("RGB").crop((LEFT, 0, LEFT + SIDE, SIDE))


def _differs(scene: Image.Image, other: Image.Image) -> Image.Image:
    """White where two scenes differ, black elsewhere."""
    return ImageChops.difference(scene, other).convert("L").point(lambda value: 255 if value else 0)


if __name__ == "__main__":
    main()
