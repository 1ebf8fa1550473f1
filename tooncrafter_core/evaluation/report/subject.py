"""The model that is measured."""

from __future__ import annotations

import logging
import time
from dataclasses import asdict, dataclass, replace
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Protocol

import torch
from torch import Tensor

from ...files.whole import file_digest
from ...models.vae.autoencoder import reference_pairs
from ...pipeline import interpolate
from ...settings import VERSION, Settings
from ...toon_crafter import ToonCrafter
from ...training.run.low_rank import merge, read_lora
from .windows import FRAMES, MIDDLE, Window, as_bytes, digest

_log = logging.getLogger(__name__)


class Subject(Protocol):
    """What can be measured. Identities change with anything that would change the frames."""

    @property
    def identity(self) -> str: ...

    @property
    def sketch_identity(self) -> str: ...

    def draw(self, window: Window, sketch: Tensor | None = None) -> Tensor:
        """All frames of a window (t, 3, H, W), uint8, from its first and last; with a sketch (3, H, W) at `MIDDLE`."""

    def reconstruct(self, window: Window, references: bool) -> Tensor:
        """The true frames through the autoencoder (t, 3, H, W), uint8, with or without the keyframes' features."""


@dataclass(frozen=True)
class TinyModel:
    """A checkpoint with settings. It is read when it is first needed.

    Attributes:
        path: a complete checkpoint.
        sketch_path: its sketch encoder, if sketches are measured.
        settings: for every clip; prompt, frame rate and seed are the clip's.
        device: where it runs.
        autoencoder_path: another complete checkpoint, whose autoencoder takes the place of this one's.
        lora_path: LoRA of the training `distil`, merged into the U-Net.
    """

    path: Path
    sketch_path: Path | None
    settings: Settings
    device: str = "cpu"
    autoencoder_path: Path | None = None
    lora_path: Path | None = None

    @cached_property
    def identity(self) -> str:
        others = [file_hash(path) for path in (self.autoencoder_path, self.lora_path) if path]
        return digest(VERSION, file_hash(self.path), *others, sorted(asdict(self.settings).items()))

    @cached_property
    def sketch_identity(self) -> str:
        return digest(self.identity, None if self.sketch_path is None else file_hash(self.sketch_path))

    @cached_property
    def model(self) -> ToonCrafter:
        """The model, read at the first use."""
        started = time.monotonic()
        model = ToonCrafter.load(self.path, self.sketch_path, device=self.device, dtype=torch.float32)
        if self.autoencoder_path:
            model = replace(model, autoencoder=ToonCrafter.load(self.autoencoder_path, dtype=torch.float32).autoencoder)
        if self.lora_path:
            merge(model.unet, read_lora(self.lora_path))
        _log.info("read %s in %.1f s", self.path.name, time.monotonic() - started)
        return model

    def draw(self, window: Window, sketch: Tensor | None = None) -> Tensor:
        frames = window.frames
        height, width = frames.shape[-2:]
        settings = replace(
            self.settings,
            prompt=window.caption,
            width=width,
            height=height,
            frames=len(frames),
            frame_rate=window.fps,
            seed=window.seed,
        )
        sketches = {} if sketch is None else {MIDDLE: sketch}
        drawn = interpolate(self.model, frames[[0, -1]], settings, sketches)
        return as_bytes(drawn)

    @torch.inference_mode()
    def reconstruct(self, window: Window, references: bool) -> Tensor:
        autoencoder = self.model.autoencoder
        decode = autoencoder.decode_segments_twice if self.settings.two_pass else autoencoder.decode_segments
        with self.model.at_work(autoencoder):
            encoded = autoencoder.encode_keyframes(window.frames * 2 - 1)
            pairs = reference_pairs([maps[[0, -1]] for maps in encoded.features]) if references else None
            latents = encoded.latents.transpose(0, 1)[None]
            return as_bytes((decode(latents, pairs)[0].transpose(0, 1) + 1) / 2)


def picture_window(name: str, first: Tensor, last: Tensor, fps: int, seed: int) -> Window:
    """A window of two pictures (3, H, W) in [0, 1] without true frames between: those are a copy of the first."""
    video = as_bytes(torch.stack([first] * (FRAMES - 1) + [last]))
    return Window(name=name, source=name, caption="", fps=fps, motion=0.0, seed=seed, video=video)


@lru_cache
def file_hash(path: Path) -> str:
    """SHA-256 of a file, which is read once."""
    return file_digest(path)
