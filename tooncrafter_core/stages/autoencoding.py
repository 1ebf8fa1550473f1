"""Keyframes to latents, and latents to frames."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial

import torch
from einops import rearrange
from torch import Tensor

from ..decoding import decode
from ..memory import free_bytes
from ..models.config import LATENT_SCALE
from ..models.vae.autoencoder import Encoded, references_between
from ..toon_crafter import ToonCrafter


def encode_keyframes(model: ToonCrafter, pictures: Mapping[int, Tensor]) -> dict[int, Encoded]:
    """Keyframes (1, 3, H, W) in [0, 1] encoded one after the other; what comes of it waits on the CPU."""
    encoded: dict[int, Encoded] = {}
    with model.at_work(model.autoencoder):
        for index, picture in pictures.items():
            latents, features = model.autoencoder.encode_keyframes((picture * 2 - 1).to(model.device, model.dtype))
            encoded[index] = Encoded(latents.cpu(), [maps.cpu() for maps in features])
    return encoded


def ends_of(encoded: Mapping[int, Encoded], segment: int, keyframes: int) -> Tensor:
    """Scaled latents (2, c, h, w) of both keyframes of a segment; after the last keyframe comes the first."""
    pair = encoded[segment], encoded[(segment + 1) % keyframes]
    return torch.cat([keyframe.latents.float() for keyframe in pair]) * LATENT_SCALE


def decode_segments(
    model: ToonCrafter, latents: Mapping[int, Tensor], encoded: Mapping[int, Encoded], keyframes: int, two_pass: bool
) -> dict[int, Tensor]:
    """Frames (3, t, H, W) in [0, 1] on the CPU, one segment after the other, from latents (t, c, h, w), both by the
    segments' numbers; after the last of so many keyframes comes the first."""
    decoded: dict[int, Tensor] = {}
    with model.at_work(model.autoencoder):
        for index, rows in latents.items():
            segment = rearrange((rows.to(model.device) / LATENT_SCALE).to(model.dtype), "t c h w -> 1 c t h w")
            references = references_between(encoded[index], encoded[(index + 1) % keyframes])
            frames = decode(model.autoencoder, segment, references, two_pass, partial(free_bytes, model.device))
            decoded[index] = ((frames[0].float() + 1) / 2).clamp(0, 1).cpu()
    return decoded
