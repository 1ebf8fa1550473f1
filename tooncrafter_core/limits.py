"""Refuses what cannot fit into memory, before any work."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import NamedTuple

import torch

from .memory import REMEDY, control_bytes, decode_bytes, encode_bytes, feature_bytes, readable, unet_bytes, video_bytes
from .models.config import PIXELS_PER_LATENT, AutoencoderConfig, SketchConfig, UNetConfig
from .models.vae.chunking import Chunking
from .models.vae.interleaving import TRAINED
from .timeline import written

_SURPLUS = 1.15
"""How much more than is counted an estimate may say; so much less than it may be enough."""

_STEP = 64
"""Pixels between the sizes that are looked at for one that fits."""


@dataclass(frozen=True)
class Job:
    """What is asked for.

    Attributes:
        keyframes: n.
        frames: of each segment.
        width: of the result, pixels.
        height: likewise.
    """

    keyframes: int
    frames: tuple[int, ...]
    width: int
    height: int

    @property
    def latent_size(self) -> tuple[int, int]:
        """Height and width of the latents."""
        return -(-self.height // PIXELS_PER_LATENT), -(-self.width // PIXELS_PER_LATENT)

    @property
    def encoded_size(self) -> tuple[int, int]:
        """Height and width the models work at, pixels."""
        height, width = self.latent_size
        return height * PIXELS_PER_LATENT, width * PIXELS_PER_LATENT


@dataclass(frozen=True)
class Room:
    """Bytes that can still be taken.

    Attributes:
        device: where the models run.
        main: main memory.
        shared: the device takes from main memory too, as a CPU does.
    """

    device: float
    main: float
    shared: bool


class Need(NamedTuple):
    """Bytes on the device, and beside them in main memory."""

    device: float
    main: float

    def lack(self, room: Room) -> str | None:
        """What does not fit, in words; None where all does."""
        main = self.main + (self.device if room.shared else 0)
        for need, free, where in ((main, room.main, "main memory"), (self.device, room.device, "the device's memory")):
            if need / _SURPLUS > free:
                return f"about {readable(need)} of {where}, and {readable(free)} are free"
        return None


@dataclass(frozen=True)
class Demand:
    """What a stage takes in each way of working it has, the one that takes least of the device last."""

    stage: str
    ways: tuple[Need, ...]

    def lack(self, room: Room) -> str | None:
        """What does not fit, in words; None where one of the ways does."""
        lacks = [way.lack(room) for way in self.ways]
        return None if None in lacks else f"{self.stage} takes {lacks[-1]}"


@dataclass(frozen=True)
class DenoiserDemands:
    """What sampling takes.

    Attributes:
        unet: sizes.
        window: frames the U-Net sees at a time.
        dtype: of the activations.
        sketch: sizes of the sketch encoder, if there are sketches.
        all_controls: the sketch encoder's outputs are there for all frames of the run at once.
        weights: bytes of weights that have to come to the device as a whole.
    """

    unet: UNetConfig
    window: int
    dtype: torch.dtype
    sketch: SketchConfig | None = None
    all_controls: bool = False
    weights: int = 0

    def of(self, job: Job) -> Iterator[Demand]:
        frames = min(max(job.frames), self.window)
        device = self.weights + unet_bytes(self.unet, frames, *job.latent_size, self.dtype)
        if self.sketch is not None:
            guided = sum(job.frames) if self.all_controls else frames
            device += control_bytes(self.sketch, guided, *job.latent_size, self.dtype)
        yield Demand("sampling", (Need(device, 0),))


@dataclass(frozen=True)
class AutoencoderDemands:
    """What encoding and decoding take, and all that waits in main memory for them.

    Attributes:
        config: sizes.
        dtype: of the activations, and of the keyframes' feature maps.
        weights: as for `DenoiserDemands`.
    """

    config: AutoencoderConfig
    dtype: torch.dtype
    weights: int = 0

    def of(self, job: Job) -> Iterator[Demand]:
        height, width = job.encoded_size
        features = feature_bytes(self.config, height, width, self.dtype)
        encode = encode_bytes(self.config, height, width, self.dtype)
        yield Demand("encoding the keyframes", (Need(self.weights + encode, job.keyframes * features),))
        sizes = self.config, min(max(job.frames), TRAINED), *job.latent_size, self.dtype
        result = 2 * sum(job.frames) * 3 * height * width * torch.float32.itemsize  # in segments, and joined
        waiting = (job.keyframes + 2) * features + result
        frames, offloaded = (self.weights + decode_bytes(*sizes, c) for c in (Chunking.FRAMES, Chunking.OFFLOADED))
        yield Demand("decoding", (Need(frames, waiting), Need(offloaded, waiting + video_bytes(*sizes))))


Demands = DenoiserDemands | AutoencoderDemands


def check_room(job: Job, room: Room, *demands: Demands) -> None:
    """Raise ValueError where a stage cannot fit into memory, however it is divided."""
    lack = _first_lack(job, room, demands)
    if lack is None:
        return
    fitting = next((smaller for smaller in _smaller(job) if _first_lack(smaller, room, demands) is None), None)
    advice = f"{fitting.width} x {fitting.height} would fit" if fitting else "No size of that shape would fit"
    raise ValueError(
        f"{job.width} x {job.height} with {job.keyframes} keyframe(s) and {len(job.frames)} segment(s) of "
        f"{written(job.frames)} frames needs more memory than there is: {lack}. {advice}. {REMEDY}"
    )


def _first_lack(job: Job, room: Room, demands: tuple[Demands, ...]) -> str | None:
    lacks = (demand.lack(room) for each in demands for demand in each.of(job))
    return next(filter(None, lacks), None)


def _smaller(job: Job) -> Iterator[Job]:
    """The same at smaller sizes of about that shape, the largest first."""
    for width in range((job.width - 1) // _STEP * _STEP, 0, -_STEP):
        height = round(job.height * width / job.width / PIXELS_PER_LATENT) * PIXELS_PER_LATENT
        yield replace(job, width=width, height=max(height, PIXELS_PER_LATENT))
