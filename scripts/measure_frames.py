"""Measures kept keyframes and matched colours on drawn scenes that the bundled model interpolates.

    python scripts/measure_frames.py [--scenes 6]

For each scene 16 frames, 12 steps, no guidance. A jump is the root mean square difference of neighbouring frames, an
error that to the scene itself; both are in levels of 255, averages over the scenes.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from tooncrafter_core import Settings, ToonCrafter, interpolate  # noqa: E402
from tooncrafter_core.data.clip_format import HEIGHT, WIDTH  # noqa: E402
from tooncrafter_core.data.drawn_scenes import Scene, random_scene  # noqa: E402
from tooncrafter_core.frames.colours import match_colours  # noqa: E402
from tooncrafter_core.frames.keyframes import keep_keyframes  # noqa: E402
from tooncrafter_core.frames.spans import spans_of_frames  # noqa: E402

MODEL = ROOT / "assets" / "tooncrafter-tiny" / "tooncrafter-tiny.safetensors"
FRAMES = 16
SETTINGS = Settings(width=WIDTH, height=HEIGHT, frames=FRAMES, frame_rate=24, steps=12, guidance_scale=1.0)
SPANS = spans_of_frames(FRAMES, FRAMES)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--scenes", type=int, default=6)
    count = parser.parse_args().scenes
    model = ToonCrafter.load(MODEL)
    rows = []
    for seed in range(count):
        truth = _clip(random_scene(np.random.default_rng([seed, 11]), (2.1, 2.7)))
        decoded = interpolate(model, truth[[0, -1]], SETTINGS)
        kept = keep_keyframes(decoded.transpose(0, 1), truth[[0, -1]]).transpose(0, 1)
        pasted = torch.cat([truth[:1], decoded[1:-1], truth[-1:]])
        versions = (decoded, pasted, kept, match_colours(decoded, SPANS), match_colours(kept, SPANS))
        rows.append([_numbers(frames, truth) for frames in versions])
    names = ("as decoded", "keyframes pasted", "keyframes kept", "colours matched", "kept, then matched")
    sys.stdout.write("largest jump, error of frames 1 and 14, error of frames 1 to 14, ground off in frame 8\n")
    for name, values in zip(names, torch.tensor(rows).mean(dim=0).tolist(), strict=True):
        sys.stdout.write(f"{name:20}" + "".join(f"{value:8.2f}" for value in values) + "\n")


def _clip(scene: Scene) -> Tensor:
    drawn = np.stack([scene.draw(frame / (FRAMES - 1)) for frame in range(FRAMES)])
    return torch.from_numpy(drawn).permute(0, 3, 1, 2).float() / 255


def _numbers(frames: Tensor, truth: Tensor) -> list[float]:
    error = _rms(frames - truth)
    still = (truth[0] - truth[8]).abs().amax(dim=0) < 1 / 255
    still &= (truth[-1] - truth[8]).abs().amax(dim=0) < 1 / 255
    off = 255 * (frames[8] - truth[8])[:, still].median(dim=1).values.abs().mean()
    return [float(v) for v in (_rms(frames.diff(dim=0)).max(), error[[1, -2]].mean(), error[1:-1].mean(), off)]


def _rms(frames: Tensor) -> Tensor:
    return 255 * frames.square().mean(dim=(1, 2, 3)).sqrt()


if __name__ == "__main__":
    main()
