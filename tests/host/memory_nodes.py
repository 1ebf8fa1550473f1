"""Custom nodes for the tests: they set what ComfyUI says is free and in which type the VAE computes, and tell what
sampling asks for."""

from __future__ import annotations

import copy
from typing import Any

import comfy.model_management as management
import torch
from comfy.sampler_helpers import convert_cond, estimate_memory


class FreeMemory:
    """From here on so much is free on every device."""

    RETURN_TYPES = ("LATENT",)
    FUNCTION = "run"
    CATEGORY = "tests"

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:
        return {"required": {"latent": ("LATENT",), "mebibytes": ("INT", {"max": 10**6})}}

    def run(self, latent: dict[str, Any], mebibytes: int) -> tuple[dict[str, Any]]:
        free = mebibytes * 2**20
        management.get_free_memory = lambda device=None, torch_free_too=False: (free, free) if torch_free_too else free
        return (latent,)


class HalfVAE:
    """The VAE as --fp16-vae makes it."""

    RETURN_TYPES = ("VAE",)
    FUNCTION = "run"
    CATEGORY = "tests"

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:
        return {"required": {"vae": ("VAE",)}}

    def run(self, vae: Any) -> tuple[Any]:
        half = copy.copy(vae)
        half.vae_dtype = torch.float16
        return (half,)


class MemoryRequired:
    """What sampling asks for: for both passes in one batch, and for one."""

    RETURN_TYPES = ()
    OUTPUT_NODE = True
    FUNCTION = "run"
    CATEGORY = "tests"

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:
        return {"required": {"model": ("MODEL",), "positive": ("CONDITIONING",), "latent": ("LATENT",)}}

    def run(self, model: Any, positive: list[Any], latent: dict[str, Any]) -> dict[str, Any]:
        conds = {"positive": convert_cond(positive)}
        return {"ui": {"bytes": list(estimate_memory(model, latent["samples"].shape, conds))}}


NODE_CLASS_MAPPINGS = {
    "TestFreeMemory": FreeMemory,
    "TestHalfVAE": HalfVAE,
    "TestMemoryRequired": MemoryRequired,
}
