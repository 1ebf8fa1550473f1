"""Latents as the decoder gets them in use: drawn by the model itself between a clip's first and last frame."""

from __future__ import annotations

import logging
from dataclasses import replace
from pathlib import Path

import torch
from einops import rearrange
from torch import Tensor

from ...files.working_settings import WorkingSettings, read_working_settings
from ...models.config import LATENT_SCALE
from ...sampling.coarse_to_fine import shown_runs
from ...settings import Settings, nearest_frame_rate
from ...stages.film import Film, nothing_kept
from ...toon_crafter import ToonCrafter
from ..clips.draws import Batch

log = logging.getLogger(__name__)


class InBetweens:
    """A complete model, which draws with the settings that its file says it works best with.

    Args:
        path: the file; where it says nothing, the published settings are taken.
        device: where it works, in float32, beside what trains.

    Raises:
        ValueError: the file lacks a part, or its settings cannot be read or used.
    """

    def __init__(self, path: Path, device: torch.device) -> None:
        try:
            self._model = ToonCrafter.load(path, device=device, dtype=torch.float32)
            self._settings = _settings_of(read_working_settings(path) or WorkingSettings())
        except ValueError as error:
            raise ValueError(f"drawn_latents needs a start file that can draw by itself. {path}: {error}") from error
        self._model.stay_at_work()
        steps, scale = self._settings.steps, self._settings.guidance_scale
        log.info("%s draws latents in %d steps with a guidance scale of %g", path.name, steps, scale)

    def draw(self, batch: Batch, generator: torch.Generator) -> Tensor:
        """Latents (b, c, t, h, w), not scaled."""
        seeds = torch.randint(2**62, (len(batch.video),), generator=generator).tolist()
        rows = zip(batch.video, batch.fps.tolist(), batch.captions, seeds, strict=True)
        return torch.stack([self._draw(*row) for row in rows])

    def _draw(self, video: Tensor, fps: float, caption: str, seed: int) -> Tensor:
        """Of one sample, whose video is (3, t, H, W) in [-1, 1]."""
        frames, height, width = video.shape[1:]
        told = replace(self._settings, prompt=caption, frame_rate=nearest_frame_rate(fps), seed=seed)
        settings = replace(told, width=width, height=height, frames=frames)
        with torch.inference_mode():
            keyframes = [(video[:, end] + 1) / 2 for end in (0, -1)]
            film = Film.given(self._model, keyframes, [0], settings, None, None)
            latents = film.joined(film.sample(shown_runs(film.plans, film.chosen), nothing_kept))[0]
        # Cloned, since inference tensors cannot be trained on; sampling leaves them on the CPU.
        return rearrange(latents.clone().to(video), "t c h w -> c t h w") / LATENT_SCALE


def _settings_of(working: WorkingSettings) -> Settings:
    """ValueError where a number is none that can be drawn with."""
    published = Settings()
    return Settings(
        steps=working.steps or published.steps,
        guidance_scale=working.guidance_scale or published.guidance_scale,
        clean_end=working.clean_end,
    )
