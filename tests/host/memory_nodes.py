"""Custom nodes for the tests: they set what ComfyUI says is free and in which type the VAE computes, and tell what
sampling asks for and runs, and what is held."""

from __future__ import annotations

import copy
import gc
import logging
from typing import Any

import comfy.model_management as management
import torch
from comfy.patcher_extension import WrappersMP
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


class NoVRAM:
    """From here on no weight stays on the device, as with --novram: layers fetch theirs when they are called."""

    RETURN_TYPES = ("MODEL",)
    FUNCTION = "run"
    CATEGORY = "tests"

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:
        return {"required": {"model": ("MODEL",)}}

    def run(self, model: Any) -> tuple[Any]:
        management.unload_all_models()
        management.is_device_cpu = lambda device: False  # ComfyUI keeps a model whole where the CPU is the device
        management.vram_state = management.VRAMState.NO_VRAM
        return (model,)


class TellRows:
    """The MODEL, which writes the rows of each call of the U-Net to the log."""

    RETURN_TYPES = ("MODEL",)
    FUNCTION = "run"
    CATEGORY = "tests"

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:
        return {"required": {"model": ("MODEL",)}}

    def run(self, model: Any) -> tuple[Any]:
        def tell(executor: Any, x: torch.Tensor, *others: Any, **named: Any) -> torch.Tensor:
            logging.info("U-Net rows: %d", len(x))
            return executor(x, *others, **named)

        told = model.clone()
        told.add_wrapper(WrappersMP.DIFFUSION_MODEL, tell)
        return (told,)


class Held:
    """Bytes of all tensors there are; never from the cache."""

    RETURN_TYPES = ()
    OUTPUT_NODE = True
    FUNCTION = "run"
    CATEGORY = "tests"

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:
        return {"required": {}}

    @classmethod
    def IS_CHANGED(cls) -> float:
        return float("nan")

    def run(self) -> dict[str, Any]:
        gc.collect()
        tensors = [thing for thing in gc.get_objects() if isinstance(thing, torch.Tensor)]
        storages = {tensor.untyped_storage().data_ptr(): tensor.untyped_storage().nbytes() for tensor in tensors}
        return {"ui": {"bytes": [sum(storages.values())]}}


NODE_CLASS_MAPPINGS = {
    "TestHeld": Held,
    "TestNoVRAM": NoVRAM,
    "TestTellRows": TellRows,
    "TestFreeMemory": FreeMemory,
    "TestHalfVAE": HalfVAE,
    "TestMemoryRequired": MemoryRequired,
}
