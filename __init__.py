"""ToonCrafter for ComfyUI."""

from .nodes import ToonCrafterExtension
from .nodes.example_drawings import offer_drawings

WEB_DIRECTORY = "./web"


async def comfy_entrypoint() -> ToonCrafterExtension:
    """Called by ComfyUI when it loads the pack."""
    offer_drawings()
    return ToonCrafterExtension()


__all__ = ["WEB_DIRECTORY", "comfy_entrypoint"]
