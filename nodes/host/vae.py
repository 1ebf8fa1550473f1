"""The autoencoder as ComfyUI's VAE, with the keyframes' features and references beside the stock methods."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import partial
from typing import Any

import comfy.model_management as management
import comfy.ops
import torch
from comfy.model_patcher import ModelPatcher
from comfy.sd import VAE
from einops import rearrange
from torch import Tensor

from ...tooncrafter_core.decoding import decode
from ...tooncrafter_core.files.checkpoint import Checkpoint
from ...tooncrafter_core.finite import NotFiniteError, is_finite
from ...tooncrafter_core.limits import AutoencoderDemands, Job, check_room
from ...tooncrafter_core.memory import decode_bytes, encode_bytes
from ...tooncrafter_core.models.config import PIXELS_PER_LATENT
from ...tooncrafter_core.models.layers import Layers
from ...tooncrafter_core.models.vae.autoencoder import Autoencoder
from ...tooncrafter_core.models.vae.chunking import Chunking, Report, silent
from ...tooncrafter_core.models.vae.interleaving import TRAINED
from .advice import with_comfyui_flags
from .attention import attention_for
from .interruption import stop_if_interrupted
from .memory import room


class HostAutoencoder(Autoencoder):
    """The autoencoder with the two methods ComfyUI's stock VAE nodes call."""

    def encode(self, images: Tensor) -> Tensor:
        """Images (n, 3, H, W) in [-1, 1] to latents (n, c, h, w); ValueError where they are smaller than a latent."""
        height, width = images.shape[-2:]
        if min(height, width) < PIXELS_PER_LATENT:
            raise ValueError(
                f"pixels are {width} x {height}; expected {PIXELS_PER_LATENT} or more a side. Enlarge the picture "
                "before it is encoded."
            )
        return self.encode_keyframes(images).latents

    def decode(self, latents: Tensor) -> Tensor:
        """A tile's latents (n, c, h, w), taken as one segment, to images (n, 3, H, W), without references.

        Raises:
            NotFiniteError: the result is not finite.
        """
        images = self.decode_segments(rearrange(latents, "t c h w -> 1 c t h w"))
        if not is_finite(images):
            raise NotFiniteError(
                f"Decoding a tile in {latents.dtype} gave NaN or infinite values. Use Dual-Ref Decode or VAE Decode, "
                "which decode again in float32, or run the VAE in float32 (ComfyUI's --fp32-vae)."
            )
        return rearrange(images, "1 c t h w -> t c h w")

    def computing_in(self, dtype: torch.dtype) -> AbstractContextManager[None]:
        """ComfyUI's layers cast their weights to whatever comes in."""
        return nullcontext()


class ToonCrafterVAE(VAE):
    """A stock VAE around our autoencoder; memory, dtype and devices are ComfyUI's choice."""

    def __init__(self, checkpoint: Checkpoint) -> None:
        with _no_warnings():  # stock set-up; it would warn that it got no weights of its own
            super().__init__(sd={})
        self.device = management.vae_device()
        self.vae_dtype = management.vae_dtype(self.device, self.working_dtypes)
        self.output_device = management.intermediate_device()
        offload_device = management.vae_offload_device()
        layers = Layers(
            comfy.ops.manual_cast,
            attention_for(self.device),
            self.vae_dtype,
            offload_device,
            weights=comfy.ops.cast_bias_weight,
            before_block=stop_if_interrupted,
        )
        self.first_stage_model = HostAutoencoder(checkpoint.config.autoencoder, layers).eval()
        self.first_stage_model.load_state_dict(checkpoint.part("autoencoder"))
        self.patcher = ModelPatcher(self.first_stage_model, load_device=self.device, offload_device=offload_device)
        self.size = management.module_size(self.first_stage_model)
        config = self.first_stage_model.config
        self.latent_channels = config.latent_channels
        self.memory_used_encode = lambda shape, dtype: encode_bytes(config, *shape[2:4], dtype)
        # Tiled decode, which asks this, decodes one image at a time.
        self.memory_used_decode = lambda shape, dtype: decode_bytes(config, 1, *shape[2:4], dtype, Chunking.WHOLE)

    def check_room(self, job: Job) -> None:
        """Raise ValueError where encoding or decoding cannot fit into memory."""
        check_room(job, room(self.device), AutoencoderDemands(self.first_stage_model.config, self.vae_dtype))

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

    def decode_segment(
        self, latents: Tensor, references: list[Tensor] | None, two_pass: bool, report: Report = silent
    ) -> Tensor:
        """Decode one segment in the memory there is, see `decoding.decode`.

        Args:
            latents: (1, c, t, h, w).
            references: five feature maps (1, 2, ...).
            two_pass: see `Autoencoder.decode_segments_twice`.
            report: told how far it is.

        Returns:
            frames (1, 3, t, H, W) in [0, 1], float32
        """
        model = self.first_stage_model
        count, height, width = latents.shape[2:]
        together = count if references is None else min(count, TRAINED)
        whole, frames = (
            decode_bytes(model.config, together, height, width, self.vae_dtype, chunking)
            for chunking in (Chunking.WHOLE, Chunking.FRAMES)
        )
        management.load_models_gpu([self.patcher], memory_required=whole, minimum_memory_required=frames)
        free = partial(management.get_free_memory, self.device)
        with with_comfyui_flags():
            decoded = decode(model, latents.to(self.device, self.vae_dtype), references, two_pass, free, report)
        return self.process_output(decoded.to(self.output_device).float())

    def decode(self, samples_in: Tensor, vae_options: dict[str, Any] | None = None) -> Tensor:
        """Stock VAE Decode: latents (n, c, h, w), taken as one segment, to images (n, H, W, 3), without references."""
        frames = self.decode_segment(rearrange(samples_in, "t c h w -> 1 c t h w"), None, two_pass=False)
        return rearrange(frames, "1 c t h w -> t h w c")


@contextmanager
def _no_warnings() -> Iterator[None]:
    level = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        yield
    finally:
        logging.disable(level)
