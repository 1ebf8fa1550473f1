"""How much memory the models need beside their weights, and how much a device has left.

The needs are counted at the published size (scripts/benchmark.py); tests hold them against the count. What a device's
convolutions take as workspace is not among them. `limits.py` refuses what cannot fit.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import torch

from .models.config import (
    INIT_ATTENTION_HEADS,
    PIXELS_PER_LATENT,
    TOKENS_PER_FRAME,
    AutoencoderConfig,
    SketchConfig,
    UNetConfig,
)
from .models.vae.chunking import Chunking

_UNET_INIT = (15, 2)
"""Values alive in the U-Net's first temporal transformer for each latent pixel of each frame, in units of its width and
of `model_channels`."""

_UNET_LEVEL = 22.1
"""The same at the finest level's peak, in units of `model_channels`; kept keys apart."""

_TEXT_TOKENS = 77
"""Of a prompt that is not longer than most."""

_ENCODER = 5.1
"""Values alive at the peak for each pixel of an image, in units of `channels`."""

_DECODER = {Chunking.WHOLE: (6.1, 0.0), Chunking.FRAMES: (1.55, 5.1), Chunking.OFFLOADED: (0.0, 6.1)}
"""The same for each pixel of each frame, and for each pixel whatever the number of frames."""


def unet_bytes(config: UNetConfig, frames: int, height: int, width: int, dtype: torch.dtype, rows: int = 1) -> int:
    """What one U-Net pass needs.

    Args:
        config: sizes.
        frames: that it sees at a time.
        height: of the latents.
        width: of the latents.
        dtype: of the activations.
        rows: passes of a segment in one batch: 2 where the unconditional one goes with the conditional one.
    """
    init = _UNET_INIT[0] * INIT_ATTENTION_HEADS * config.head_channels + _UNET_INIT[1] * config.model_channels
    peak = max(init, _UNET_LEVEL * config.model_channels) * frames * height * width
    tokens = _TEXT_TOKENS + TOKENS_PER_FRAME * frames
    kept = 2 * tokens * _cross_attention_channels(config)
    return math.ceil(rows * (peak + kept) * dtype.itemsize)


def _cross_attention_channels(config: UNetConfig) -> int:
    """Channels of the keys of all cross-attention layers together."""
    levels = range(len(config.channel_mult))
    attending = sum(config.level_channels(level) for level in levels if config.attention_levels[level])
    return attending * (2 * config.res_blocks + 1) + config.level_channels(levels[-1])


def encode_bytes(config: AutoencoderConfig, height: int, width: int, dtype: torch.dtype) -> int:
    """What encoding one image of height x width pixels needs."""
    return math.ceil(_ENCODER * config.channels * height * width * dtype.itemsize)


def decode_bytes(
    config: AutoencoderConfig, frames: int, height: int, width: int, dtype: torch.dtype, chunking: Chunking
) -> int:
    """What decoding one segment, in two passes, needs on the device, for latents of height x width."""
    each, once = _DECODER[chunking]
    colours = 3 * frames
    features = (each * frames + once) * config.channels
    # Features go with the frames of the first pass; the last layer has frames only, in four copies at most.
    values = max(features + colours, 4 * colours)
    return math.ceil(values * height * width * PIXELS_PER_LATENT**2 * dtype.itemsize)


def video_bytes(config: AutoencoderConfig, frames: int, height: int, width: int, dtype: torch.dtype) -> int:
    """What of one segment waits between the decoder's layers, in main memory where that is chosen; latents of height x
    width."""
    each, _ = _DECODER[Chunking.FRAMES]
    return math.ceil(each * config.channels * frames * height * width * PIXELS_PER_LATENT**2 * dtype.itemsize)


def feature_bytes(config: AutoencoderConfig, height: int, width: int, dtype: torch.dtype) -> int:
    """What is kept of one keyframe of height x width pixels for the decoder."""
    levels = range(len(config.channel_mult))
    each = config.channels + sum(config.level_channels(level) / 4**level for level in levels)
    return math.ceil(each * height * width * dtype.itemsize)


def control_bytes(config: SketchConfig, frames: int, height: int, width: int, dtype: torch.dtype) -> int:
    """What the sketch encoder hands to the U-Net for one pass over so many frames, latents of height x width."""
    last = len(config.channel_mult) - 1
    each = config.model_channels + config.level_channels(last) / 4**last  # the first convolution's and the middle's
    for level in range(last + 1):
        stages = config.res_blocks + (1 / 4 if level < last else 0)
        each += stages * config.level_channels(level) / 4**level
    return math.ceil(each * frames * height * width * dtype.itemsize)


def free_bytes(device: torch.device | str) -> float:
    """Memory that can still be taken on a device; infinite where PyTorch cannot tell."""
    device = torch.device(device)
    if device.type == "cpu":
        return min(psutil.virtual_memory().available, _left_in_control_group())
    if device.type != "cuda":
        return math.inf
    free, _ = torch.cuda.mem_get_info(device)
    return free + torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)


def _left_in_control_group(folder: Path = Path("/sys/fs/cgroup")) -> float:
    """What a container's limit leaves (Linux, control groups of version 2); infinite without one. Pages of files count
    as free: they go when memory is short."""
    try:
        limit, used = ((folder / name).read_text().strip() for name in ("memory.max", "memory.current"))
        fields = dict(line.split() for line in (folder / "memory.stat").read_text().splitlines())
    except OSError:
        return math.inf
    return math.inf if limit == "max" else int(limit) - int(used) + int(fields["file"])


class LackOfMemoryError(torch.cuda.OutOfMemoryError):
    """A device, or the CPU, had no memory left; the message says for what and what to do."""


@contextmanager
def naming_lack(stage: str) -> Iterator[None]:
    """Errors of allocations that failed inside become one that names the stage and says what to do.

    Args:
        stage: as the beginning of a sentence, such as "Encoding the keyframes".
    """
    try:
        yield
    except (RuntimeError, MemoryError) as error:
        if isinstance(error, LackOfMemoryError) or not is_out_of_memory(error):
            raise
        reason = str(error).partition("\n")[0] or "no memory left"
        raise LackOfMemoryError(f"{stage} ran out of memory ({reason}). {REMEDY}") from error


REMEDY = "Choose a smaller size or fewer frames, compute in half precision, or close other programs."


def is_out_of_memory(error: Exception) -> bool:
    """Whether a device, or the CPU, had no memory left; Apple's and the CPU's have no exception of their own."""
    words = ("out of memory", "can't allocate memory", "not enough memory")
    return isinstance(error, torch.cuda.OutOfMemoryError | MemoryError) or any(word in str(error) for word in words)


def readable(count: float) -> str:
    """Bytes as a message says them."""
    if math.isinf(count):
        return "an unknown amount"
    return f"{count / 2**20:.0f} MiB" if count < 10 * 2**30 else f"{count / 2**30:.1f} GiB"
