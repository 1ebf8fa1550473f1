"""ComfyUI's interruption, between the blocks of our models."""

from __future__ import annotations

import comfy.model_management as management
import torch


def stop_if_interrupted() -> None:
    """Ends the prompt that runs, where that was asked for. Compiled models do not look: it would cut them to pieces."""
    if not torch.compiler.is_compiling():
        management.throw_exception_if_processing_interrupted()
