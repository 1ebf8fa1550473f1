"""How much memory ComfyUI can give our models."""

from __future__ import annotations

import comfy.model_management as management
import torch

from ...tooncrafter_core.limits import Room
from ...tooncrafter_core.memory import free_bytes


def room(device: torch.device) -> Room:
    """What activations can take on this device, were all weights on it unloaded."""
    shared = management.is_device_cpu(device) or management.is_device_mps(device)
    loaded = [] if shared else [each for each in management.current_loaded_models if each.device == device]
    unloadable = sum(each.model_loaded_memory() for each in loaded if each.model is not None)
    return Room(management.get_free_memory(device) + unloadable, free_bytes("cpu"), shared)
