"""Put a trained small model into assets/tooncrafter-tiny, as the Loader offers it.

    python scripts/train/pack_tiny.py [--run FOLDER] [--halfway-from FILE]

Takes the decoder's training of the run, with the denoiser's U-Net and projector in the place of its own where that was
trained beside it, and the sketch encoder; the last two as they were trained together, where they were. Writes them in
float16, with the settings they work best with.
"""

from __future__ import annotations

import argparse
import logging
import sys
from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import cast

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # so that the script runs from anywhere
sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

import numpy as np
import torch
import torch.nn.functional as F
from einops import rearrange
from torch import Tensor

from tooncrafter_core import ToonCrafter
from tooncrafter_core.data.clip_format import FPS, HEIGHT, WIDTH, WINDOW
from tooncrafter_core.data.drawn_scenes import random_scene
from tooncrafter_core.evaluation.command import exit_status
from tooncrafter_core.files.checkpoint import PREFIXES, read_checkpoint
from tooncrafter_core.files.working_settings import WorkingSettings
from tooncrafter_core.models.config import LATENT_SCALE, PIXELS_PER_LATENT
from tooncrafter_core.models.vae.autoencoder import Autoencoder
from tooncrafter_core.training.run.export import write_checkpoint
from tooncrafter_core.training.tasks.joint import SKETCH_CHECKPOINT

TINY = Path(__file__).resolve().parents[2] / "assets" / "tooncrafter-tiny"
LIMIT = 40e6
STEPS = 2
GUIDANCE_SCALE = 1.0
SKETCH_STRENGTH = 1.0

_SCENES = 32
"""Over which the previews' colours are fitted."""
_SEED = 1_000_000

log = logging.getLogger("pack_tiny")


def main() -> int:
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--run", type=Path, default=Path("~/.cache/tooncrafter-training/tiny").expanduser())
    parser.add_argument(
        "--halfway-from",
        type=Path,
        help="a model before the decoder's training: its autoencoder and the trained one's mean",
    )
    parser.add_argument("--out", type=Path, default=TINY, help="folder of the two files (default %(default)s)")
    options = parser.parse_args()
    return exit_status(lambda: pack_run(options))


def pack_run(options: argparse.Namespace) -> None:
    """Write both files of a run.

    Raises:
        FileNotFoundError: the run lacks one.
        ValueError: one cannot be used.
    """
    trained = read_checkpoint(options.run / "decoder" / "model.safetensors")
    autoencoder = cast(Autoencoder, trained.load("autoencoder").float())
    denoiser, sketch_encoder = _with_sketches(options.run)
    model = {**trained.tensors, **_denoiser(denoiser)}
    if options.halfway_from is not None:
        model |= _halfway(read_checkpoint(options.halfway_from).tensors, model)
    sketch = read_checkpoint(sketch_encoder).tensors
    pack_both(model, sketch, working_settings(autoencoder), options.out)


def pack_both(
    model: Mapping[str, Tensor], sketch: Mapping[str, Tensor], working: WorkingSettings, folder: Path
) -> None:
    """Write both files into a folder, in the place of those that are there once they are known to be of use.

    Raises:
        ValueError: they do not belong together, or are too large.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(dir=folder) as unfinished:
        files = [Path(unfinished) / f"{name}.safetensors" for name in ("tooncrafter-tiny", "tooncrafter-tiny-sketch")]
        for tensors, file in zip((model, sketch), files, strict=True):
            pack(tensors, file, working)
        ToonCrafter.load(*files)  # refuses what does not belong together
        size = sum(file.stat().st_size for file in files)
        if size > LIMIT:
            raise ValueError(f"the two files take {size / 1e6:.1f} MB; expected at most {LIMIT / 1e6:.0f}")
        for file in files:
            file.replace(folder / file.name)


def working_settings(autoencoder: Autoencoder) -> WorkingSettings:
    """What the model card says, and the colours of previews."""
    return WorkingSettings(
        width=WIDTH,
        height=HEIGHT,
        frames=WINDOW,
        frame_rate=FPS,
        steps=STEPS,
        guidance_scale=GUIDANCE_SCALE,
        sketch_strength=SKETCH_STRENGTH,
        preview=preview_colours(autoencoder),
        clean_end=True,
    )


@torch.no_grad()
def preview_colours(autoencoder: Autoencoder) -> tuple[tuple[float, float, float], ...]:
    """The linear map from scaled latents to colours in [-1, 1] that fits drawn scenes best (least squares)."""
    pictures = [random_scene(np.random.default_rng(_SEED + number)).draw(0.5) for number in range(_SCENES)]
    images = torch.from_numpy(np.stack(pictures)).permute(0, 3, 1, 2).float() / 127.5 - 1
    latents = autoencoder.encode_keyframes(images).latents * LATENT_SCALE
    colours = _pixels(F.avg_pool2d(images, PIXELS_PER_LATENT))
    solution = torch.linalg.lstsq(_pixels(latents), colours).solution
    return tuple((round(r, 4), round(g, 4), round(b, 4)) for r, g, b in solution.tolist())


def _pixels(maps: Tensor) -> Tensor:
    return rearrange(maps, "n c h w -> (n h w) c")


def _with_sketches(run: Path) -> tuple[Path, Path]:
    """The files of denoiser and sketch encoder: of the run that trained them together, where there is one."""
    if (run / "joint").is_dir():
        return run / "joint" / "model.safetensors", run / "joint" / SKETCH_CHECKPOINT
    return run / "denoiser" / "model.safetensors", run / "sketch" / "model.safetensors"


def _denoiser(path: Path) -> dict[str, Tensor]:
    """U-Net and projector of a training's checkpoint, where there was such a training."""
    if not path.parent.is_dir():
        return {}
    trained, parts = read_checkpoint(path), ("unet", "projector")
    if lacking := [part for part in parts if part not in trained.parts]:
        raise ValueError(f"{path} has no {' and no '.join(lacking)}; expected the checkpoint of a denoiser's training")
    prefixes = tuple(PREFIXES[part] for part in parts)
    return {name: tensor for name, tensor in trained.tensors.items() if name.startswith(prefixes)}


def _halfway(before: Mapping[str, Tensor], after: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The autoencoder's weights in the middle of two trainings' (Wortsman et al. 2022)."""
    names = [name for name in after if name.startswith(PREFIXES["autoencoder"])]
    if any(name not in before or before[name].shape != after[name].shape for name in names):
        raise ValueError("the file of --halfway-from has another autoencoder; expected the model before its training")
    return {name: 0.5 * before[name].float() + 0.5 * after[name].float() for name in names}


def pack(tensors: Mapping[str, Tensor], packed: Path, working: WorkingSettings) -> None:
    """Write a checkpoint's tensors in float16, and read the result as the Loader does."""
    write_checkpoint({name: tensor.half() for name, tensor in tensors.items()}, packed, working)
    log.info(read_checkpoint(packed).report())


if __name__ == "__main__":
    sys.exit(main())
