"""Latents of any number of channels, as ComfyUI has to know them: scale, channels, and colours for previews."""

from __future__ import annotations

from comfy.latent_formats import SD15, LatentFormat

from ...tooncrafter_core.files.checkpoint import Checkpoint
from ...tooncrafter_core.models.config import LATENT_SCALE
from .previews import Sheet


class ToonCrafterLatents(LatentFormat):
    """Latents of a model of its own, whose file says what their channels look like."""

    def __init__(self, channels: int, preview: tuple[tuple[float, float, float], ...]) -> None:
        self.scale_factor = LATENT_SCALE
        self.latent_channels = channels
        self.latent_rgb_factors = [list(row) for row in preview] or None


def latent_format(checkpoint: Checkpoint) -> LatentFormat:
    """Stable Diffusion's latents where the file says nothing else, else its own, with previews if it has colours; they
    show all frames."""
    found = _latent_format(checkpoint)
    found.latent_rgb_factors_reshape = Sheet()
    return found


def _latent_format(checkpoint: Checkpoint) -> LatentFormat:
    channels = checkpoint.config.unet.out_channels
    preview = checkpoint.working.preview if checkpoint.working else ()
    if not preview and channels == SD15.latent_channels:
        return SD15(LATENT_SCALE)
    return ToonCrafterLatents(channels, preview if len(preview) == channels else ())
