"""ToonCrafter for ComfyUI."""

from .nodes import ToonCrafterExtension

WEB_DIRECTORY = "./web"


async def comfy_entrypoint() -> ToonCrafterExtension:
    """Called by ComfyUI when it loads the pack."""
    return ToonCrafterExtension()


__all__ = ["WEB_DIRECTORY", "comfy_entrypoint"]
