"""Some segments of a film: what is given for them, and the latents and frames that are made of it."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from ..frames.keyframes import keep_keyframes
from ..inputs import check_kind, shortened
from ..limits import AutoencoderDemands, DenoiserDemands, Job, Room, check_room
from ..memory import free_bytes, naming_lack
from ..models.vae.autoencoder import Encoded
from ..sampling.coarse_to_fine import Plan, Run, join_runs, plan_runs, shown_runs
from ..sampling.ddim import DDIMStep
from ..settings import Settings
from ..sketches.placed import PlacedSketches, Sketch
from ..timeline import segment_frames
from ..toon_crafter import ToonCrafter
from .autoencoding import decode_segments, encode_keyframes, ends_of
from .contexts import contexts_of
from .given import count_of, fit_picture, picture_of, placed_sketches, segments_of, settings_of, sketches_of
from .sampler import Sampler

Kept = Callable[[Run], Tensor | None]
"""What came of a run that was drawn before, see `coarse_to_fine.draw_run`; None of any other."""


def nothing_kept(run: Run) -> None:
    """No run was drawn before."""


@dataclass(frozen=True)
class Film:
    """What is given, checked, fitted and placed.

    Attributes:
        model: the models.
        settings: of the whole film.
        callback: called after each sampling step.
        count: keyframes of the whole film.
        plans: of all of its segments.
        chosen: numbers of the segments that this is about, rising.
        pictures: their keyframes by number (1, 3, H, W).
        fitted: these at the size that the models work at (1, 3, 8 h, 8 w).
        sketches: of each segment, if there are any.
    """

    model: ToonCrafter
    settings: Settings
    callback: Callable[[DDIMStep], None] | None
    count: int
    plans: list[Plan]
    chosen: list[int]
    pictures: dict[int, Tensor]
    fitted: dict[int, Tensor]
    sketches: list[PlacedSketches] | None

    @staticmethod
    def given(
        model: ToonCrafter,
        keyframes: Sequence[Tensor] | Tensor,
        chosen: Collection[int],
        settings: Settings | None,
        sketches: Mapping[int, Tensor | Sketch] | None,
        callback: Callable[[DDIMStep], None] | None,
    ) -> Film:
        """Check what is given, see `pipeline.draw_segments`.

        Raises:
            ValueError: it does not fit together, or the work not into memory.
        """
        settings = settings_of(settings)
        check_kind(model, ToonCrafter, "model", "a ToonCrafter, such as ToonCrafter.load opens")
        if callback is not None and not callable(callback):
            raise ValueError(f"callback is {shortened(callback)}; expected a function of a DDIMStep, or None")
        drawings = sketches_of(sketches)
        count = count_of(keyframes)
        frames = segment_frames(count, settings.frames, settings.loop)
        segments = segments_of(chosen, len(frames))
        needed = sorted({keyframe % count for segment in segments for keyframe in (segment, segment + 1)})
        pictures = {index: picture_of(keyframes[index], f"keyframe {index + 1}") for index in needed}
        plans = plans_of(model, frames)
        job = Job(len(needed), tuple(frames[each] for each in segments), settings.width, settings.height)
        _check_room(model, job, sketched=bool(drawings))
        placed = placed_sketches(model, drawings, settings, frames)
        fitted = {index: fit_picture(picture, settings) for index, picture in pictures.items()}
        return Film(model, settings, callback, count, plans, segments, pictures, fitted, placed)

    def sample(self, runs: Collection[Run], kept: Kept) -> dict[Run, Tensor]:
        """What comes of runs, and of the coarse ones that need to be drawn for them; see `coarse_to_fine.draw_run`."""
        latents = _there(runs, kept)
        missing = {run for run in runs if run not in latents}
        coarse = {Run(run.segment, 0) for run in missing}
        latents |= _there(coarse, kept)
        if to_draw := sorted((missing | coarse) - latents.keys()):
            latents |= self._draw(to_draw, latents)
        return latents

    def decode(self, latents: Mapping[Run, Tensor]) -> dict[int, Tensor]:
        """Frames (3, t, height, width) of the chosen segments by number, from what came of `shown_runs`."""
        settings = self.settings
        with naming_lack("Decoding"):
            segments = decode_segments(self.model, self.joined(latents), self.encoded, self.count, settings.two_pass)
        if settings.keep_keyframes:
            for index, segment in segments.items():
                ends = self.fitted[index], self.fitted[(index + 1) % self.count]
                segments[index] = keep_keyframes(segment, torch.cat(ends))
        return {index: segment[..., : settings.height, : settings.width] for index, segment in segments.items()}

    def joined(self, latents: Mapping[Run, Tensor]) -> dict[int, Tensor]:
        """Latents (t, c, h, w) of the chosen segments by number, from what came of `shown_runs`."""
        return {each: join_runs([latents[run] for run in shown_runs(self.plans, [each])]) for each in self.chosen}

    @cached_property
    def encoded(self) -> dict[int, Encoded]:
        """The keyframes, encoded when first asked for; a fine run has no need of them."""
        with naming_lack("Encoding the keyframes"):
            return encode_keyframes(self.model, self.fitted)

    def _draw(self, runs: Sequence[Run], latents: Mapping[Run, Tensor]) -> dict[Run, Tensor]:
        """Sample runs, the fine ones from what came of coarse ones."""
        first = {segment: Run(segment, 0) for segment in sorted({run.segment for run in runs})}
        with naming_lack("Reading prompt and keyframes"):
            pictures = {segment: self.pictures[segment] for segment in first}
            contexts, unconditional = contexts_of(self.model, pictures, self.settings)
        keyframes = {
            segment: latents[coarse] if coarse in latents else ends_of(self.encoded, segment, self.count)
            for segment, coarse in first.items()
        }
        sampler = Sampler(self.model, contexts, unconditional, self.sketches, self.settings, self.callback)
        with naming_lack("Sampling"):
            return sampler.sample(runs, keyframes, self.plans)


def _there(runs: Collection[Run], kept: Kept) -> dict[Run, Tensor]:
    """What came of those that are kept."""
    return {run: there for run in runs if (there := kept(run)) is not None}


def plans_of(model: ToonCrafter, frames: Sequence[int]) -> list[Plan]:
    """How segments of these lengths are drawn; ValueError where one has more frames than the model can draw."""
    return [plan_runs(count, model.projector.config.frames) for count in frames]


def _check_room(model: ToonCrafter, job: Job, sketched: bool) -> None:
    """Raise ValueError where a stage cannot fit into the memory that is free."""
    sketch = model.sketch_encoder if sketched else None
    denoiser = DenoiserDemands(
        unet=model.unet.config,
        window=model.projector.config.frames,
        dtype=model.dtype,
        sketch=sketch.config if sketch is not None else None,
        weights=model.copied_bytes(model.unet, sketch),
    )
    autoencoder = AutoencoderDemands(model.autoencoder.config, model.dtype, model.copied_bytes(model.autoencoder))
    shared = torch.device(model.device).type != "cuda"
    check_room(job, Room(free_bytes(model.device), free_bytes("cpu"), shared), denoiser, autoencoder)
