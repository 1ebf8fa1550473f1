"""The inputs of the frozen golden set, by the rule of `rule.py`, under the vectors' names."""

from __future__ import annotations

import torch
from torch import Tensor

from .rule import uniform, unit_noise

FRAMES, HEIGHT, WIDTH = 16, 64, 128
"""Frames of the segment, and its size in pixels: the smallest oblong that the published U-Net takes."""

STEPS = 5
SKETCHED_FRAMES = (3, 8, 12)


def inputs() -> dict[str, Tensor]:
    """Keyframes, noises, latents to decode and sketches; the other inputs are outputs of earlier modules."""
    latents = (1, 4, FRAMES, HEIGHT // 8, WIDTH // 8)
    return {
        **{name: picture(name) for name in ("image.first", "image.last")},
        **{name: unit_noise(name, latents) for name in ("decode.latent", "unet.x", "ddim.x_T")},
        "ddim.noises": unit_noise("ddim.noises", (STEPS, *latents)),
        "sketch.hint": sketches("sketch.hint"),
    }


def picture(name: str) -> Tensor:
    """(1, 3, H, W) in [-1, 1)."""
    return torch.from_numpy(uniform(name, (1, 3, HEIGHT, WIDTH))).float()


def sketches(name: str) -> Tensor:
    """(1, 1, t, H, W): every tenth pixel or so is white in the sketched frames; the other frames are black."""
    white = torch.from_numpy(uniform(name, (1, 1, FRAMES, HEIGHT, WIDTH)) >= 0.8)
    guided = torch.zeros(FRAMES, 1, 1)
    guided[list(SKETCHED_FRAMES)] = 1
    return white * guided


def context(text: Tensor, image_tokens: Tensor) -> Tensor:
    """What the published U-Net attends to: (1, 77, d) of one prompt, then the projector's (1, 16 t, d)."""
    return torch.cat([text, image_tokens], dim=1)


def condition(latents: Tensor) -> Tensor:
    """The condition channels (1, 4, t, h, w) of the two keyframes' latents (2, 4, h, w), already scaled."""
    channels = torch.zeros(1, latents.shape[1], FRAMES, *latents.shape[2:])
    channels[0, :, 0], channels[0, :, -1] = latents
    return channels
