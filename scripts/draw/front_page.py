"""Draws assets/demo.webp from what the demo drew: keyframes and sketches, in order, above the film that came of them.

bash scripts/demo.sh && .venv/bin/python scripts/draw/front_page.py
"""

from __future__ import annotations

import argparse
from pathlib import Path

from PIL import Image, ImageOps

ROOT = Path(__file__).resolve().parents[2]
KEYFRAMES = ROOT / "assets" / "keyframes"
DRAWN = ROOT / "output" / "demo" / "with_sketch"
GIVEN = "first.png", "sketch_02.png", "sketch_06.png", "sketch_09.png", "sketch_13.png", "last.png"
SMALL, LARGE = (64, 32), (414, 207)
"""Pixels of what was given, and of the film."""
GAP = 6
MILLISECONDS, HOLD = 83, 500
"""That a frame is shown, and a keyframe."""


def main() -> None:
    argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter).parse_args()
    pictures = [Image.open(file).convert("RGB") for file in sorted(DRAWN.glob("*.png"))]
    if not pictures:
        raise SystemExit(f"no frames in {DRAWN}; run bash scripts/demo.sh first")
    frames = [_page(picture) for picture in pictures]
    shown = [HOLD, *[MILLISECONDS] * (len(frames) - 2), HOLD]
    file = ROOT / "assets" / "demo.webp"
    frames[0].save(file, save_all=True, append_images=frames[1:], duration=shown, loop=0, quality=85, method=6)


def _page(frame: Image.Image) -> Image.Image:
    page = Image.new("RGB", (LARGE[0], SMALL[1] + GAP + LARGE[1]), "white")
    for place, name in enumerate(GIVEN):
        with Image.open(KEYFRAMES / name) as drawing:
            page.paste(ImageOps.fit(drawing.convert("RGB"), SMALL), (place * (SMALL[0] + GAP), 0))
    page.paste(frame.resize(LARGE, Image.Resampling.BICUBIC), (0, SMALL[1] + GAP))
    return page


if __name__ == "__main__":
    main()
