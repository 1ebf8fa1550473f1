"""Latents as the decoder gets them in use: drawn by the model itself between a clip's first and last frame."""

from __future__ import annotations

from pathlib import Path

import torch
from einops import rearrange
from torch import Tensor

from ...files.working_settings import WorkingSettings, read_working_settings
from ...models.config import LATENT_SCALE
from ...sampling.coarse_to_fine import join_runs, shown_runs
from ...settings import Settings
from ...stages.film import Film, nothing_kept
from ...toon_crafter import ToonCrafter
from ..clips.draws import Batch


class InBetweens:
    """A complete model, which draws with the settings that its file says it works best with.

    Args:
        path: the file; where it says nothing, the published settings are taken.
        device: where it works, in float32.

    Raises:
        ValueError: the file lacks a part, or its settings cannot be read.
    """

    def __init__(self, path: Path, device: torch.device) -> None:
        self._model = ToonCrafter.load(path, device=device, dtype=torch.float32)
        self._model.stay_at_work()
        self._working = read_working_settings(path) or WorkingSettings()

    def draw(self, batch: Batch, generator: torch.Generator) -> Tensor:
        """Latents (b, c, t, h, w), not scaled."""
        seeds = torch.randint(2**62, (len(batch.video),), generator=generator).tolist()
        rows = zip(batch.video, batch.fps.tolist(), batch.captions, seeds, strict=True)
        return torch.stack([self._draw(*row) for row in rows])

    def _draw(self, video: Tensor, fps: float, caption: str, seed: int) -> Tensor:
        """Of one sample, whose video is (3, t, H, W) in [-1, 1]."""
        working, published = self._working, Settings()
        settings = Settings(
            prompt=caption,
            width=video.shape[3],
            height=video.shape[2],
            frames=video.shape[1],
            frame_rate=max(1, min(round(fps), 60)),
            steps=working.steps or published.steps,
            guidance_scale=working.guidance_scale or published.guidance_scale,
            clean_end=working.clean_end,
            seed=seed,
        )
        with torch.inference_mode():
            keyframes = [(video[:, end] + 1) / 2 for end in (0, -1)]
            film = Film.given(self._model, keyframes, [0], settings, None, None)
            runs = shown_runs(film.plans, [0])
            drawn = film.sample(runs, nothing_kept)
            latents = join_runs([drawn[run] for run in runs])
        # Cloned, since inference tensors cannot be trained on.
        return rearrange(latents.clone().float(), "t c h w -> c t h w") / LATENT_SCALE
