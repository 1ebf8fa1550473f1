"""Images in, frames out: the whole way through all models, without ComfyUI."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import cast

import torch
from einops import rearrange
from torch import Tensor

from .decoding import decode
from .files.images import check_picture, fit_images, pad_to_latents, sketch_hints, to_rgb
from .files.tokenizer import tokenize
from .frames.keyframes import keep_keyframes
from .inputs import check_kind, shortened
from .limits import AutoencoderDemands, DenoiserDemands, Job, Room, check_room
from .memory import free_bytes, naming_lack, unet_bytes
from .models.clip.vision_tower import preprocess
from .models.config import LATENT_SCALE
from .models.unet.context import CrossContext
from .models.vae.autoencoder import Encoded, references_between
from .redo import Redo
from .sampling.coarse_to_fine import Plan, count_runs, draw_segment, is_long, plan_runs
from .sampling.ddim import DDIMStep, Walk, ddim
from .sampling.denoiser import GuidedDenoiser, SegmentsDenoiser
from .sampling.guidance import Interval
from .sampling.noise import Noise
from .sampling.schedule import Schedule
from .settings import Settings
from .sketches.placed import PlacedSketches, Sketch
from .timeline import (
    join_segments,
    keyframe_condition,
    place_sketches,
    place_strengths,
    segment_frames,
    segment_rows,
)
from .toon_crafter import ToonCrafter


@torch.inference_mode()
@naming_lack("Interpolation")
def interpolate(
    model: ToonCrafter,
    keyframes: Sequence[Tensor] | Tensor,
    settings: Settings | None = None,
    sketches: Mapping[int, Tensor | Sketch] | None = None,
    callback: Callable[[DDIMStep], None] | None = None,
    redo: Redo | None = None,
) -> Tensor:
    """Draw the frames between keyframes.

    Args:
        model: the models.
        keyframes: two or more pictures in order, each (1, 3 or 4, H, W) in [0, 1], of any sizes; or one batch of
            them.
        settings: size, timing, sampling.
        sketches: line drawings by frame of the result, see `timeline`: pictures (1, 3 or 4, H, W) in [0, 1], or
            `Sketch`es with a strength of their own.
        callback: called after each sampling step of each run, see `sampling_runs`.
        redo: draw some segments only, as they are with all others, and take the rest from an earlier result.

    Returns:
        frames (n, 3, height, width) in [0, 1], float32, on the CPU, as many as `timeline` says; a loop's first frame
        follows its last

    Raises:
        ValueError: the input does not fit together, or the work not into memory; nothing has run then.
        LackOfMemoryError: it did not fit all the same.
    """
    settings = _settings(settings)
    check_kind(redo, Redo | None, "redo", "a Redo, or None")
    loop = settings.loop
    frames = segment_frames(_count(keyframes), settings.frames, loop)
    if redo is not None:
        redo.check(frames, loop, settings.width, settings.height)
    chosen = range(len(frames)) if redo is None else redo.segments
    segments = draw_segments(model, keyframes, chosen, settings, sketches, callback)
    return join_segments(list(segments.values()), loop) if redo is None else redo.joined(segments, frames, loop)


@torch.inference_mode()
def draw_segments(
    model: ToonCrafter,
    keyframes: Sequence[Tensor] | Tensor,
    chosen: Collection[int],
    settings: Settings | None = None,
    sketches: Mapping[int, Tensor | Sketch] | None = None,
    callback: Callable[[DDIMStep], None] | None = None,
) -> dict[int, Tensor]:
    """Draw some segments, each as it is with all others; of the keyframes only theirs are looked at.

    Args:
        chosen: numbers of segments, the first one is 0.
        (the others): see `interpolate`.

    Returns:
        frames (3, t, height, width) by the segments' numbers, rising; both keyframes included

    Raises:
        ValueError: see `interpolate`.
        LackOfMemoryError: likewise.
    """
    settings = _settings(settings)
    check_kind(model, ToonCrafter, "model", "a ToonCrafter, such as ToonCrafter.load opens")
    check_kind(callback, Callable | None, "callback", "a function of a DDIMStep, or None")
    width, height = settings.width, settings.height
    chosen = sorted(set(chosen))
    drawn = _sketches(sketches)
    count = _count(keyframes)
    frames = segment_frames(count, settings.frames, settings.loop)
    needed = sorted({keyframe % count for segment in chosen for keyframe in (segment, segment + 1)})
    pictures = {index: _picture(keyframes[index], f"keyframe {index + 1}") for index in needed}
    drawings = {
        index: _picture(sketch.picture, f"the sketch at frame {shortened(index)}") for index, sketch in drawn.items()
    }
    plans = _plans(model, frames)
    _check_room(model, Job(len(needed), tuple(frames[each] for each in chosen), width, height), sketched=bool(drawings))
    fitted = {index: _fitted(picture, settings) for index, picture in pictures.items()}
    hints = {
        index: _fitted(sketch_hints(drawing, drawn[index].polarity), settings)[0] for index, drawing in drawings.items()
    }
    strengths = {index: sketch.strength for index, sketch in drawn.items() if sketch.strength is not None}
    placed = _placed(model, hints, strengths, settings, frames)

    with naming_lack("Reading prompt and keyframes"):
        contexts, unconditional = _contexts(model, {each: pictures[each] for each in chosen}, settings)
    with naming_lack("Encoding the keyframes"):
        encoded = _encode(model, fitted)
    ends = {each: _ends(encoded, each, count) for each in chosen}
    sampler = _Sampler(model, contexts, unconditional, placed, settings, callback)
    with naming_lack("Sampling"):
        sampled = sampler.sample(ends, plans)
    with naming_lack("Decoding"):
        segments = _decode(model, sampled, encoded, count, settings.two_pass)
    if settings.keep_keyframes:
        segments = {
            index: keep_keyframes(each, torch.cat([fitted[index], fitted[(index + 1) % count]]))
            for index, each in segments.items()
        }
    return {index: segment[..., :height, :width] for index, segment in segments.items()}


def sampling_runs(model: ToonCrafter, frames: Sequence[int]) -> int:
    """How often `interpolate` goes through all sampling steps for segments of these lengths: once where the model was
    trained for as many frames, else once for each run of each segment.

    Raises:
        ValueError: more frames than it can draw.
    """
    return count_runs(_plans(model, frames))


def _plans(model: ToonCrafter, frames: Sequence[int]) -> list[Plan]:
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


def _settings(given: Settings | None) -> Settings:
    check_kind(given, Settings | None, "settings", "Settings, such as Settings(frames=24), or None")
    return given or Settings()


def _count(keyframes: object) -> int:
    """How many keyframes there are."""
    batch = isinstance(keyframes, Tensor) and keyframes.ndim == 4
    if not batch and (isinstance(keyframes, str | Tensor) or not isinstance(keyframes, Sequence)):
        given = f"of shape {tuple(keyframes.shape)}" if isinstance(keyframes, Tensor) else shortened(keyframes)
        raise ValueError(f"keyframes are {given}; expected a list of pictures (channels, height, width), or one batch")
    return len(cast(Sequence[object], keyframes))


def _sketches(sketches: Mapping[int, Tensor | Sketch] | None) -> dict[int, Sketch]:
    """Sketches by frame."""
    if not isinstance(sketches, Mapping | None):
        raise ValueError(f"sketches are {shortened(sketches)}; expected pictures by frame, such as {{7: picture}}")
    return {index: given if isinstance(given, Sketch) else Sketch(given) for index, given in (sketches or {}).items()}


def _picture(picture: Tensor, name: str) -> Tensor:
    """One picture as RGB (1, 3, H, W), once it is known to be one."""
    return to_rgb(check_picture(picture, name)[None])


def _fitted(picture: Tensor, settings: Settings) -> Tensor:
    return pad_to_latents(fit_images(picture, settings.width, settings.height, settings.fit))


def _placed(
    model: ToonCrafter,
    hints: Mapping[int, Tensor],
    strengths: Mapping[int, float],
    settings: Settings,
    frames: Sequence[int],
) -> list[PlacedSketches] | None:
    """Sketches at their frames, for each segment; `strengths` are of those that have one of their own."""
    if not hints:
        return None
    if model.sketch_encoder is None:
        raise ValueError("sketches were given but no sketch encoder was loaded; load sketch_encoder.ckpt as well")
    placed = place_sketches(hints, frames, settings.loop).to(model.dtype).split(list(frames))
    if not strengths:
        return [PlacedSketches(segment, settings.sketch_strength) for segment in placed]
    own = place_strengths(strengths, settings.sketch_strength, frames, settings.loop).split(list(frames))
    return [PlacedSketches(*parts) for parts in zip(placed, own, strict=True)]


def _ends(encoded: Mapping[int, Encoded], segment: int, keyframes: int) -> Tensor:
    """Scaled latents (2, c, h, w) of both keyframes of a segment; after the last keyframe comes the first."""
    pair = encoded[segment], encoded[(segment + 1) % keyframes]
    return torch.cat([keyframe.latents.float() for keyframe in pair]) * LATENT_SCALE


def _contexts(
    model: ToonCrafter, pictures: Mapping[int, Tensor], settings: Settings
) -> tuple[dict[int, CrossContext], CrossContext]:
    """Conditional tokens of segments, each shown its first keyframe, and unconditional ones, for the trained number of
    frames; many keep no keys and values."""
    size = model.vision.config.image_size
    grey = torch.full((1, 3, size, size), 0.5)
    pixels = [preprocess(picture * 2 - 1, size) for picture in [*pictures.values(), grey]]
    with model.at_work(model.text):
        prompts = [
            model.text(tokenize(prompt).to(model.device)).flatten(0, 1)[None]
            for prompt in (settings.prompt, settings.negative_prompt)
        ]
    with model.at_work(model.vision, model.projector):
        tokens = [model.projector(model.vision(each.to(model.device, model.dtype))) for each in pixels]
    keep = len(pictures) == 1
    contexts = [CrossContext(prompts[0], image, keep) for image in tokens[:-1]]
    return dict(zip(pictures, contexts, strict=True)), CrossContext(prompts[1], tokens[-1])


def _encode(model: ToonCrafter, pictures: Mapping[int, Tensor]) -> dict[int, Encoded]:
    """Keyframes (1, 3, H, W) in [0, 1] encoded one after the other; what comes of it waits on the CPU."""
    encoded: dict[int, Encoded] = {}
    with model.at_work(model.autoencoder):
        for index, picture in pictures.items():
            latents, features = model.autoencoder.encode_keyframes((picture * 2 - 1).to(model.device, model.dtype))
            encoded[index] = Encoded(latents.cpu(), [maps.cpu() for maps in features])
    return encoded


@dataclass(frozen=True)
class _Sampler:
    """Samples latents, scaled, with the frames as rows, as on ComfyUI's wires.

    Attributes:
        model: the models.
        contexts: of each segment to be drawn, for the trained number of frames.
        unconditional: likewise.
        sketches: of each segment, if there are any.
        settings: steps, guidance, eta and seed.
        callback: called after each step.
    """

    model: ToonCrafter
    contexts: Mapping[int, CrossContext]
    unconditional: CrossContext
    sketches: list[PlacedSketches] | None
    settings: Settings
    callback: Callable[[DDIMStep], None] | None

    def sample(self, ends: Mapping[int, Tensor], plans: Sequence[Plan]) -> dict[int, Tensor]:
        """Latents (t, c, h, w) of segments by their numbers, from those of their ends (2, c, h, w); `plans` are of all
        segments there are."""
        noise = Noise(self.settings.seed, next(iter(ends.values())).shape[1:])
        with self.model.at_work(self.model.unet, self.model.sketch_encoder if self.sketches is not None else None):
            if is_long(plans):
                return self._one_by_one(ends, plans, noise)
            return self._together(ends, plans, noise)

    def _together(self, ends: Mapping[int, Tensor], plans: Sequence[Plan], noise: Noise) -> dict[int, Tensor]:
        """One run, with these segments' rows of the noise of all."""
        counts = [len(plan.coarse) for plan in plans]
        rows = [row for segment in ends for row in segment_rows(counts)[segment]]
        denoisers = [self._denoiser(segment, plans[segment].coarse, both) for segment, both in ends.items()]
        latents = self._run(denoisers, lambda: noise.draw(sum(counts))[rows])
        return dict(zip(ends, latents.split([counts[segment] for segment in ends]), strict=True))

    def _one_by_one(self, ends: Mapping[int, Tensor], plans: Sequence[Plan], noise: Noise) -> dict[int, Tensor]:
        """Each of these segments run by run; the others take their share of the noise."""
        noisy_steps = self.settings.steps if self.settings.eta > 0 else 0
        drawn: dict[int, Tensor] = {}
        for segment, plan in enumerate(plans):
            if segment in ends:
                drawn[segment] = draw_segment(partial(self._run_of, segment, noise), ends[segment], plan)
            else:
                noise.leave_out(plan, noisy_steps)
        return drawn

    def _run_of(self, segment: int, noise: Noise, frames: Sequence[int], ends: Tensor) -> Tensor:
        """Some frames of one segment (n, c, h, w), see `DrawRun`."""
        return self._run([self._denoiser(segment, frames, ends)], lambda: noise.draw(len(frames)))

    def _denoiser(self, segment: int, frames: Sequence[int], ends: Tensor) -> GuidedDenoiser:
        """Of some frames of one segment, between two frames' latents (2, c, h, w)."""
        model, settings, count = self.model, self.settings, len(frames)
        condition = keyframe_condition(ends, count)
        pair = self.contexts[segment].resampled(count), self.unconditional.resampled(count)
        sketches = None if self.sketches is None else self.sketches[segment].of_run(frames)
        strength = settings.sketch_strength if sketches is None else sketches.strength
        return GuidedDenoiser(
            unet=model.unet,
            condition=condition.to(model.device, model.dtype),
            contexts=_passes(model, pair, condition, settings),
            frame_rate=settings.frame_rate,
            guidance_scale=settings.guidance_scale,
            guidance_rescale=settings.guidance_rescale,
            sketch_encoder=model.sketch_encoder,
            hints=None if sketches is None else rearrange(sketches.hints, "t 1 h w -> 1 1 t h w"),
            sketch_strength=strength[None] if isinstance(strength, Tensor) else strength,
            guided=Interval(settings.guidance_from, settings.guidance_to),
        )

    def _run(self, segments: Sequence[GuidedDenoiser], noise: Callable[[], Tensor]) -> Tensor:
        """All steps of some segments together: latents of the shape of the noise, frames as rows."""
        schedule, eta, device = Schedule.published(), self.settings.eta, self.model.device
        timesteps = schedule.trailing_timesteps(self.settings.steps)

        def there() -> Tensor:
            return noise().to(device)

        return ddim(SegmentsDenoiser(segments), there(), Walk(schedule, timesteps, eta), there, self.callback)


def _passes(
    model: ToonCrafter, pair: tuple[CrossContext, CrossContext], condition: Tensor, settings: Settings
) -> list[CrossContext]:
    """What the U-Net runs for one segment: one pass without guidance, else both in one batch where memory allows."""
    if settings.guidance_scale == 1:
        return [pair[0]]
    if pair[0].text.shape == pair[1].text.shape and _both_passes_fit(model, condition):
        return [CrossContext.join(pair)]
    return list(pair)


def _both_passes_fit(model: ToonCrafter, condition: Tensor) -> bool:
    """Whether a batch of two is worth it and has room: on a CPU it gains nothing."""
    if torch.device(model.device).type != "cuda":
        return False
    frames, height, width = condition.shape[2:]
    return unet_bytes(model.unet.config, frames, height, width, model.dtype, rows=2) < free_bytes(model.device)


def _decode(
    model: ToonCrafter, latents: Mapping[int, Tensor], encoded: Mapping[int, Encoded], keyframes: int, two_pass: bool
) -> dict[int, Tensor]:
    """Frames (3, t, H, W) in [0, 1] on the CPU, one segment after the other, from latents (t, c, h, w), both by the
    segments' numbers; after the last of so many keyframes comes the first."""
    decoded: dict[int, Tensor] = {}
    with model.at_work(model.autoencoder):
        for index, rows in latents.items():
            segment = rearrange((rows / LATENT_SCALE).to(model.dtype), "t c h w -> 1 c t h w")
            references = references_between(encoded[index], encoded[(index + 1) % keyframes])
            frames = decode(model.autoencoder, segment, references, two_pass, partial(free_bytes, model.device))
            decoded[index] = ((frames[0].float() + 1) / 2).clamp(0, 1).cpu()
    return decoded
