"""Previews while sampling: all frames in one picture, since ComfyUI's own show the first frame, a keyframe, only; and
word to the page, which plays them one after the other (`web/previews.js`)."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from comfy.latent_formats import LatentFormat
from comfy.model_patcher import ModelPatcher
from comfy.utils import ProgressBar
from latent_preview import Latent2RGBPreviewer, get_previewer
from PIL.Image import Image
from torch import Tensor

from ...tooncrafter_core.frames.sheets import grid
from .page import tell_page

_MOST = 16
"""Frames shown; of more, as many evenly spread."""


class Sheet:
    """What a latent format has laid out before latents become colours.

    Attributes:
        frame_rate: frames per second of the film that is sampled; `ToonCrafterModel.extra_conds` sets it for each run.
    """

    frame_rate: float = 1

    def __call__(self, latents: Tensor) -> Tensor:
        """Frames (n, c, h, w) row by row, as the latents of one picture (1, c, rows h, columns w).

        The page hears of it before the picture comes: a page without our script shows the picture as it is.
        """
        shown = min(len(latents), _MOST)
        columns = math.ceil(math.sqrt(shown))
        told = {"frames": shown, "columns": columns, "frame_rate": self.frame_rate * shown / len(latents)}
        tell_page("tooncrafter_sheet", told)
        chosen = torch.linspace(0, len(latents) - 1, shown).round().long().tolist()
        return grid(latents[chosen], columns)[None]


def progress_of(model: ModelPatcher, steps: int) -> Callable[[int, Tensor], None]:
    """Reports step and predicted latents to ComfyUI's page, with a preview also where ComfyUI's are off, which is its
    default: one matrix product of the channels is nothing beside a step.

    Args:
        model: MODEL.
        steps: of all runs.
    """
    latents = model.model.latent_format
    previewer = get_previewer(model.load_device, latents) or _colours_of(latents)
    bar = ProgressBar(steps)

    def report(step: int, x0: Tensor) -> None:
        preview = previewer.decode_latent_to_preview_image("JPEG", x0) if previewer else None
        bar.update_absolute(step + 1, steps, preview)

    return report


def _colours_of(latents: LatentFormat) -> Latent2RGBPreviewer | None:
    """None where nothing says what colours the channels are."""
    if latents.latent_rgb_factors is None:
        return None
    return _AllFrames(latents)


class _AllFrames(Latent2RGBPreviewer):
    """For every ComfyUI: older ones do not ask a latent format how its latents are to be laid out."""

    def __init__(self, latents: LatentFormat) -> None:
        super().__init__(latents.latent_rgb_factors)
        self._sheet: Sheet = latents.latent_rgb_factors_reshape

    def decode_latent_to_preview(self, x0: Tensor) -> Image:
        return super().decode_latent_to_preview(self._sheet(x0))
