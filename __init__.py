"""ToonCrafter for ComfyUI."""

from .nodes import ToonCrafterExtension


async def comfy_entrypoint() -> ToonCrafterExtension:
    """Called by ComfyUI when it loads the pack."""
    return ToonCrafterExtension()


__all__ = ["comfy_entrypoint"]
