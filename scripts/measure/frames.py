"""Measures kept keyframes, matched colours and mattes on drawn scenes, which the bundled model interpolates.

    python scripts/measure/frames.py [--scenes 6]

For each scene 16 frames, 4 steps, no guidance. A jump is the root mean square difference of neighbouring frames, an
error that to the scene itself; both are in levels of 255, averages over the scenes. A tint and a matte are known where
nothing is sampled: on the scenes as drawn, with a tint that grows to the middle, and on three plain grounds.
"""

from __future__ import annotations

import argparse
import sys
from dataclasses import replace
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # so that the script runs from anywhere
sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

import kornia
import numpy as np
import torch
from torch import Tensor

from tooncrafter_core import Settings, ToonCrafter, interpolate
from tooncrafter_core.data.clip_format import HEIGHT, WIDTH
from tooncrafter_core.data.drawn_scenes import Scene, random_scene
from tooncrafter_core.evaluation.command import count
from tooncrafter_core.frames.colours import match_colours
from tooncrafter_core.frames.keyframes import keep_keyframes
from tooncrafter_core.frames.matte import key
from tooncrafter_core.frames.spans import spans_of_frames

ROOT = Path(__file__).resolve().parents[2]

MODEL = ROOT / "assets" / "tooncrafter-tiny" / "tooncrafter-tiny.safetensors"
FRAMES = 16
SETTINGS = Settings(
    width=WIDTH, height=HEIGHT, frames=FRAMES, frame_rate=24, steps=4, guidance_scale=1.0, clean_end=True
)
SPANS = spans_of_frames(FRAMES, FRAMES)
TINT = (-6.0, 2.0, 3.0)
"""In Lab, in the middle of a clip."""

GROUNDS = {"white": (255, 255, 255), "drifted white": (236, 238, 240), "blue": (90, 200, 240)}
THRESHOLDS = (6.0, 24.0)
"""Of Matte, as its widgets are set."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--scenes", type=count, default=6, help="(default %(default)s)")
    number = parser.parse_args().scenes
    scenes = [random_scene(np.random.default_rng([seed, 11]), (2.1, 2.7)) for seed in range(number)]
    model = ToonCrafter.load(MODEL, dtype=torch.float32)
    _compare(model, scenes)
    _tint(scenes)
    _matte(scenes)
    _sampled_matte(model, scenes)


def _compare(model: ToonCrafter, scenes: list[Scene]) -> None:
    """What is done to sampled frames."""
    rows = []
    for scene in scenes:
        truth = _clip(scene)
        decoded = interpolate(model, truth[[0, -1]], SETTINGS)
        kept = keep_keyframes(decoded.transpose(0, 1), truth[[0, -1]]).transpose(0, 1)
        pasted = torch.cat([truth[:1], decoded[1:-1], truth[-1:]])
        versions = (decoded, pasted, kept, match_colours(decoded, SPANS), match_colours(kept, SPANS))
        rows.append([_numbers(frames, truth) for frames in versions])
    names = ("as decoded", "keyframes pasted", "keyframes kept", "colours matched", "kept, then matched")
    sys.stdout.write("largest jump, error of frames 1 and 14, error of frames 1 to 14, ground off in frame 8\n")
    for name, values in zip(names, torch.tensor(rows).mean(dim=0).tolist(), strict=True):
        sys.stdout.write(f"{name:20}" + "".join(f"{value:8.2f}" for value in values) + "\n")


def _tint(scenes: list[Scene]) -> None:
    growth = torch.sin(torch.linspace(0, torch.pi, FRAMES))[:, None, None, None]
    rows = []
    for truth in map(_clip, scenes):
        lab = kornia.color.rgb_to_lab(truth) + growth * torch.tensor(TINT)[:, None, None]
        tinted = kornia.color.lab_to_rgb(lab)
        versions = (tinted, match_colours(tinted, SPANS), match_colours(truth, SPANS))
        rows.append([float(255 * (frames - truth).abs().mean()) for frames in versions])
    tinted, matched, clean = torch.tensor(rows).mean(dim=0).tolist()
    sys.stdout.write(f"a known tint: {tinted:.2f} levels off, matched {matched:.2f}; clean clips matched {clean:.2f}\n")


def _matte(scenes: list[Scene]) -> None:
    for name, colour in GROUNDS.items():
        rows = []
        for scene in scenes:
            found = key(_clip(replace(scene, ground="plain", sky=colour)), *THRESHOLDS)
            rows.append(_off(found, _true_matte(scene)))
        off, sides = torch.tensor(rows).mean(dim=0).tolist()
        sys.stdout.write(f"matte on {name}: alpha {off:.2f}% off, {sides:.2f}% of the pixels on the wrong side\n")


def _sampled_matte(model: ToonCrafter, scenes: list[Scene]) -> None:
    """Two ways to the matte of sampled frames on white: keyed from them, and sampled from the keyframes' mattes with
    the same noise. In the in-betweens, against the scene's own matte and against what the frames show."""
    rows = []
    for scene in scenes:
        wanted, white = _true_matte(scene), _clip(replace(scene, ground="plain", sky=_WHITE))
        frames = interpolate(model, white[[0, -1]], SETTINGS)
        keyed = key(frames, *THRESHOLDS)
        drawn = interpolate(model, wanted[[0, -1]].expand(-1, 3, -1, -1), SETTINGS)
        sampled = drawn.mean(dim=1, keepdim=True)
        pairs = ((keyed, wanted), (sampled, wanted), (sampled, keyed))
        rows.append([_off(found[1:-1], right[1:-1]) for found, right in pairs])
    names = ("keyed, to the scene", "sampled, to the scene", "sampled, to the keyed")
    for name, (off, sides) in zip(names, torch.tensor(rows).mean(dim=0).tolist(), strict=True):
        sys.stdout.write(f"matte of sampled frames, {name}: alpha {off:.2f}% off, {sides:.2f}% on the wrong side\n")


def _true_matte(scene: Scene) -> Tensor:
    white, black = (_clip(replace(scene, ground="plain", sky=colour)) for colour in (_WHITE, _BLACK))
    return (1 - (white - black).mean(dim=1, keepdim=True)).clamp(0, 1)


def _off(found: Tensor, wanted: Tensor) -> list[float]:
    """Mean difference of two mattes, and the share of pixels that are on another side of one half; both in percent."""
    sides = ((found > 0.5) != (wanted > 0.5)).float().mean()
    return [float(100 * (found - wanted).abs().mean()), float(100 * sides)]


_WHITE, _BLACK = (255, 255, 255), (0, 0, 0)


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
