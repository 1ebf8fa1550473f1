"""What the tests of the trainings run on: clips, start weights and settings, all as small as they can be."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from accelerate import Accelerator
from accelerate.utils import set_seed
from perceptual_files import blurred_alex, save
from random_checkpoint import random_tensors
from torch import Tensor

from tooncrafter_core.files.media import write_frames
from tooncrafter_core.models.config import (
    AutoencoderConfig,
    ModelConfig,
    ProjectorConfig,
    TextConfig,
    UNetConfig,
    VisionConfig,
)
from tooncrafter_core.training.__main__ import TRAININGS
from tooncrafter_core.training.clips.manifest import Clip, write_manifest
from tooncrafter_core.training.run.engine import Run
from tooncrafter_core.training.run.export import write_checkpoint
from tooncrafter_core.training.run.task import Task
from tooncrafter_core.training.settings.run import RunSettings

SIDE = 32
"""Pixels of a training picture's sides: the perceptual distance takes no smaller one."""

FRAMES = 4
CLIP_LENGTH = 8
CLIP_FPS = 24.0

MODEL = ModelConfig(
    unet=UNetConfig(
        in_channels=8,
        out_channels=4,
        model_channels=32,
        channel_mult=(1, 1),
        res_blocks=1,
        attention_levels=(True, True),
        head_channels=16,
        context_dim=16,
    ),
    autoencoder=AutoencoderConfig(
        channels=32, channel_mult=(1, 1, 1, 1), res_blocks=1, latent_channels=4, dual_reference=False
    ),
    projector=ProjectorConfig(
        frames=FRAMES, width=32, depth=1, heads=2, inner_dim=32, feed_forward_dim=32, input_dim=32, output_dim=16
    ),
    text=TextConfig(width=16, layers=2, heads=1, feed_forward_dim=16, context_length=77, vocabulary=49408),
    vision=VisionConfig(width=32, layers=2, heads=2, feed_forward_dim=32, image_size=32, patch_size=16),
)


WIDER = replace(MODEL, unet=replace(MODEL.unet, model_channels=64))
"""Two channels in each group of its norms: with one, a norm takes away what is constant over the picture, so that
biases and the timestep's embedding before it would get no gradient but rounding errors."""


@dataclass(frozen=True)
class Workshop:
    """Files that trainings read.

    Attributes:
        clips: a clip list: three toon clips and one film clip to train on, one held out.
        start: a complete checkpoint of random float32 weights with the plain image decoder.
        perceptual: weights of a perceptual distance, random.
    """

    clips: Path
    start: Path
    perceptual: Path

    def entries(self, name: str, output: Path, /, **changes: Any) -> dict[str, Any]:
        """A settings file's content for one training; a change to None takes the entry out."""
        entries: dict[str, Any] = {
            "output": str(output),
            "clips": str(self.clips),
            "domains": ["toon"],
            "width": SIDE,
            "height": SIDE,
            "strides": [1, 2],
            "steps": 4,
            "batch": 1,
            "learning_rate": 1e-3,
            "ema": 0.5,
            "seed": 3,
            "workers": 0,
            "save_every": 2,
            "sample_every": 4,
            **self._own_entries(name, output),
            **changes,
        }
        return {key: value for key, value in entries.items() if value is not None}

    def settings(self, name: str, output: Path, /, **changes: Any) -> Any:
        """The same as the training's settings."""
        entries = json.dumps(self.entries(name, output, **changes), default=str)
        return TRAININGS[name].settings.model_validate_json(entries)

    def _own_entries(self, name: str, output: Path) -> dict[str, Any]:
        if name == "autoencoder":
            parts = {part: sizes for part, sizes in asdict(MODEL).items() if sizes is not None}
            return {"model": parts, "perceptual": [str(self.perceptual)], "kl_weight": 1e-3}
        if name == "decoder":
            return {
                "start": str(self.start),
                "frames": FRAMES,
                "perceptual": [str(self.perceptual)],
                "adversarial_from": 1,
                "discriminator_channels": 8,
                "reference_head_channels": 4,
            }
        kept = {"start": str(self.start), "segments": 4, "cache": str(output / "cache"), "frames": FRAMES}
        sketch = {"hint_widths": [4] * 7}
        joint = {**sketch, "guided_domains": ["toon"], "guided_segments": 2}
        distil = {"student_steps": 2, "teacher_steps": 4, "rank": 4}
        own = {"sketch": sketch, "joint": joint, "distil": distil}
        return kept | own.get(name, {})


def make_workshop(folder: Path) -> Workshop:
    """Write the files."""
    clips, start, perceptual = folder / "clips.jsonl", folder / "start.safetensors", folder / "perceptual.pth"
    write_clips(clips)
    write_start(start)
    torch.manual_seed(0)
    save(perceptual, blurred_alex())
    return Workshop(clips, start, perceptual)


def write_clips(path: Path) -> None:
    """Write a clip list and its clips: three as pictures, two as videos."""
    folder = path.parent / "clips"
    clips = []
    for number, (name, split, domain) in enumerate(
        [
            ("a", "train", "toon"),
            ("b.mp4", "train", "toon"),
            ("c", "train", "toon"),
            ("d", "train", "film"),
            ("e.mp4", "held_out", "toon"),
        ]
    ):
        write_frames(moving_square(number), folder / name, int(CLIP_FPS))
        clips.append(Clip(folder / name, CLIP_FPS, f"square {number}", split, name, domain, 2.0))
    write_manifest(path, clips)


def moving_square(number: int) -> Tensor:
    """A clip (n, 3, 36, 44) in [0, 1]: a square of one colour goes over smooth ground of another."""
    rows, columns = np.mgrid[:36, :44] / 44
    colours = np.random.default_rng(number).uniform(0.2, 0.8, (2, 3, 1, 1))
    ground = colours[0] + 0.2 * np.stack([rows, columns, rows * columns])
    frames = []
    for at in range(CLIP_LENGTH):
        frame = ground.copy()
        frame[:, 8 + number : 24 + number, 4 + 3 * at : 16 + 3 * at] = colours[1]
        frames.append(frame)
    return torch.from_numpy(np.stack(frames)).float()


def write_start(path: Path, config: ModelConfig = MODEL) -> None:
    write_checkpoint({name: tensor.float() for name, tensor in random_tensors(config).items()}, path)


def run(settings: RunSettings) -> Path:
    """A whole training on the CPU, or what is left of it; returns the checkpoint."""
    with torch.enable_grad():
        accelerator = Accelerator(cpu=True, mixed_precision=settings.precision)
        return Run(make(settings, accelerator), settings, accelerator).go()


def make(settings: RunSettings, accelerator: Accelerator | None = None) -> Task:
    """A training's task, made as the command makes it."""
    (training,) = (training for training in TRAININGS.values() if training.settings is type(settings))
    with torch.random.fork_rng(devices=[]):
        set_seed(settings.seed)
        return training.make_task(settings, accelerator or Accelerator(cpu=True))
