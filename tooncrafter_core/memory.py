"""How much memory the models need beside their weights, and how much a device has left.

The needs are counted at the published size (scripts/benchmark.py); tests hold them against the count. What a device's
convolutions take as workspace is not among them.
"""

from __future__ import annotations

import math

import torch

from .models.config import PIXELS_PER_LATENT, TOKENS_PER_FRAME, AutoencoderConfig, UNetConfig
from .models.vae.chunking import Chunking

_UNET = 33
"""Values alive at the peak for each latent pixel of each frame, in units of `model_channels`; kept keys apart."""

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
    peak = _UNET * config.model_channels * frames * height * width
    tokens = _TEXT_TOKENS + TOKENS_PER_FRAME * frames
    kept = 2 * tokens * _cross_attention_channels(config)
    return rows * (peak + kept) * dtype.itemsize


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


def free_bytes(device: torch.device | str) -> float:
    """Memory that can still be taken on a device; infinite where PyTorch cannot tell."""
    device = torch.device(device)
    if device.type != "cuda":
        return math.inf
    free, _ = torch.cuda.mem_get_info(device)
    return free + torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)


def is_out_of_memory(error: RuntimeError) -> bool:
    """Whether a device, or the CPU, had no memory left; Apple's and the CPU's have no exception of their own."""
    words = ("out of memory", "can't allocate memory", "not enough memory")
    return isinstance(error, torch.cuda.OutOfMemoryError) or any(word in str(error) for word in words)
