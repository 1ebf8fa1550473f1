"""What ComfyUI can do about numbers that overflow, which the core does not know."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from ...tooncrafter_core.finite import Model, NotFiniteError

FLAGS: dict[Model, str] = {"U-Net": "--bf16-unet or --fp32-unet", "VAE": "--bf16-vae or --fp32-vae"}


@contextmanager
def with_comfyui_flags() -> Iterator[None]:
    """Add to a NotFiniteError the flags by which ComfyUI runs the model in a wider type."""
    try:
        yield
    except NotFiniteError as error:
        if error.model is None:
            raise
        raise NotFiniteError(f"{error} ComfyUI's flags for it are {FLAGS[error.model]}.", error.model) from error
