"""The autoencoder as ComfyUI's VAE, with the keyframes' features and references beside the stock methods."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager

import comfy.model_management as management
import comfy.ops
import torch
from comfy.model_patcher import ModelPatcher
from comfy.sd import VAE
from einops import rearrange
from torch import Tensor

from ...tooncrafter_core.autoencoder import Autoencoder
from ...tooncrafter_core.checkpoint import Checkpoint
from ...tooncrafter_core.config import PIXELS_PER_LATENT
from ...tooncrafter_core.layers import Layers
from .attention import attention_for

_DECODE_VALUES_PER_PIXEL = 7
"""Values alive at the decoder's memory peak for each of a frame's pixels, in units of the finest level's channels;
counted at the published size (scripts/benchmark.py)."""


class HostAutoencoder(Autoencoder):
    """The autoencoder with the two methods ComfyUI's stock VAE nodes call."""

    def encode(self, images: Tensor) -> Tensor:
        """Images (n, 3, H, W) in [-1, 1] to latents (n, c, h, w)."""
        return self.encode_keyframes(images).latents

    def decode(self, latents: Tensor) -> Tensor:
        """Latents (n, c, h, w), taken as one segment, to images (n, 3, H, W), without references."""
        return rearrange(self.decode_segments(rearrange(latents, "t c h w -> 1 c t h w")), "1 c t h w -> t c h w")


class ToonCrafterVAE(VAE):
    """A stock VAE around our autoencoder; memory, dtype and devices are ComfyUI's choice."""

    def __init__(self, checkpoint: Checkpoint) -> None:
        with _no_warnings():  # stock set-up; it would warn that it got no weights of its own
            super().__init__(sd={})
        self.device = management.vae_device()
        self.vae_dtype = management.vae_dtype(self.device, self.working_dtypes)
        self.output_device = management.intermediate_device()
        offload_device = management.vae_offload_device()
        layers = Layers(comfy.ops.disable_weight_init, attention_for(self.device), self.vae_dtype, offload_device)
        self.first_stage_model = HostAutoencoder(checkpoint.config.autoencoder, layers).eval()
        self.first_stage_model.load_state_dict(checkpoint.part("autoencoder"))
        self.patcher = ModelPatcher(self.first_stage_model, load_device=self.device, offload_device=offload_device)
        self.model_size()

    def encode_keyframes(self, images: Tensor) -> tuple[Tensor, list[Tensor]]:
        """Encode keyframes one by one.

        Args:
            images: (n, 3, H, W) in [0, 1].

        Returns:
            latents (n, c, h, w), float32, and the five feature maps (n, ...) in the VAE's dtype, both where ComfyUI
            keeps intermediate results
        """
        memory = self.memory_used_encode(images.shape, self.vae_dtype)
        management.load_models_gpu([self.patcher], memory_required=memory)
        encoded = [
            self.first_stage_model.encode_keyframes(self.process_input(image).to(self.device, self.vae_dtype))
            for image in images.split(1)
        ]
        latents = torch.cat([e.latents.to(self.output_device).float() for e in encoded])
        features = zip(*(e.features for e in encoded), strict=True)
        return latents, [torch.cat([m.to(self.output_device) for m in maps]) for maps in features]

    def decode_segment(self, latents: Tensor, references: list[Tensor], two_pass: bool) -> Tensor:
        """Decode one segment.

        Args:
            latents: (1, c, t, h, w).
            references: five feature maps (1, 2, ...).
            two_pass: see `Autoencoder.decode_segments_twice`.

        Returns:
            frames (1, 3, t, H, W) in [0, 1], float32
        """
        frames, height, width = latents.shape[2:]
        values = _DECODE_VALUES_PER_PIXEL * self.first_stage_model.config.channels
        memory = values * frames * height * width * PIXELS_PER_LATENT**2 * self.vae_dtype.itemsize
        management.load_models_gpu([self.patcher], memory_required=memory)
        model = self.first_stage_model
        decode = model.decode_segments_twice if two_pass else model.decode_segments
        maps = [m.to(self.device, self.vae_dtype) for m in references]
        decoded = decode(latents.to(self.device, self.vae_dtype), maps)
        return self.process_output(decoded.to(self.output_device).float())


@contextmanager
def _no_warnings() -> Iterator[None]:
    level = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        yield
    finally:
        logging.disable(level)
