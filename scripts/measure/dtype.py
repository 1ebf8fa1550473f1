"""How far the bundled model's frames in another dtype are from those in float32, and how long both take on this CPU.

    python scripts/measure/dtype.py --dtype bfloat16

For each drawn scene 16 frames of 128 x 64, no guidance, clean end, one thread. Differences are of all frames, in
levels of 255; seconds are the process's CPU time.
"""

from __future__ import annotations

import argparse
import sys
import time
from dataclasses import replace
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # so that the script runs from anywhere
sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

import torch
from torch import Tensor

from tooncrafter_core import Settings, ToonCrafter, interpolate
from tooncrafter_core.evaluation.command import count
from tooncrafter_core.evaluation.scenes import SIZE, picture, scenes

MODEL = Path(__file__).resolve().parents[2] / "assets" / "tooncrafter-tiny" / "tooncrafter-tiny.safetensors"
SETTINGS = Settings(width=SIZE[0], height=SIZE[1], frame_rate=24, guidance_scale=1.0, clean_end=True)
SCENES_SEED = 13


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--dtype", choices=["bfloat16", "float16"], default="bfloat16")
    parser.add_argument("--scenes", type=count, default=4, help="(default %(default)s)")
    parser.add_argument("--steps", type=count, default=4, help="(default %(default)s)")
    options = parser.parse_args()
    torch.set_num_threads(1)
    settings = replace(SETTINGS, steps=options.steps)
    off, seconds = [], {"float32": 0.0, options.dtype: 0.0}
    for scene in scenes(options.scenes, SCENES_SEED):
        drawn = {}
        for dtype in seconds:
            model = ToonCrafter.load(MODEL, dtype=getattr(torch, dtype))
            started = time.process_time()
            drawn[dtype] = interpolate(model, [picture(scene, 0), picture(scene, 1)], settings)
            seconds[dtype] += time.process_time() - started
        off.append(255 * _off(*drawn.values()))
    means = torch.stack(off)
    sys.stdout.write(
        f"{torch.backends.cpu.get_cpu_capability()}: {options.dtype} is off by {means.mean():.2f} levels on average, "
        f"{means.max():.2f} in the worst frame; " + ", ".join(f"{n} {s:.1f} s" for n, s in seconds.items()) + "\n"
    )


def _off(frames: Tensor, others: Tensor) -> Tensor:
    """Mean absolute difference of each frame."""
    return (frames - others).abs().flatten(1).mean(dim=1)


if __name__ == "__main__":
    main()
