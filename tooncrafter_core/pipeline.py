"""Images in, frames out: the whole way through all models, without ComfyUI."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence

import torch
from torch import Tensor

from .frames.keyframes import keep_keyframes
from .inputs import check_kind, shortened
from .limits import AutoencoderDemands, DenoiserDemands, Job, Room, check_room
from .memory import free_bytes, naming_lack
from .redo import Redo
from .sampling.coarse_to_fine import Plan, count_runs, plan_runs
from .sampling.ddim import DDIMStep
from .settings import Settings
from .sketches.placed import Sketch
from .stages.autoencoding import decode_segments, encode_keyframes, ends_of
from .stages.contexts import contexts_of
from .stages.given import count_of, fit_picture, picture_of, placed_sketches, segments_of, settings_of, sketches_of
from .stages.sampler import Sampler
from .timeline import join_segments, segment_frames
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
    settings = settings_of(settings)
    check_kind(redo, Redo | None, "redo", "a Redo, or None")
    loop = settings.loop
    frames = segment_frames(count_of(keyframes), settings.frames, loop)
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
    settings = settings_of(settings)
    check_kind(model, ToonCrafter, "model", "a ToonCrafter, such as ToonCrafter.load opens")
    if callback is not None and not callable(callback):
        raise ValueError(f"callback is {shortened(callback)}; expected a function of a DDIMStep, or None")
    drawings = sketches_of(sketches)
    count = count_of(keyframes)
    frames = segment_frames(count, settings.frames, settings.loop)
    chosen = segments_of(chosen, len(frames))
    needed = sorted({keyframe % count for segment in chosen for keyframe in (segment, segment + 1)})
    pictures = {index: picture_of(keyframes[index], f"keyframe {index + 1}") for index in needed}
    plans = _plans(model, frames)
    job = Job(len(needed), tuple(frames[each] for each in chosen), settings.width, settings.height)
    _check_room(model, job, sketched=bool(drawings))
    placed = placed_sketches(model, drawings, settings, frames)
    fitted = {index: fit_picture(picture, settings) for index, picture in pictures.items()}

    with naming_lack("Reading prompt and keyframes"):
        contexts, unconditional = contexts_of(model, {each: pictures[each] for each in chosen}, settings)
    with naming_lack("Encoding the keyframes"):
        encoded = encode_keyframes(model, fitted)
    ends = {each: ends_of(encoded, each, count) for each in chosen}
    sampler = Sampler(model, contexts, unconditional, placed, settings, callback)
    with naming_lack("Sampling"):
        sampled = sampler.sample(ends, plans)
    with naming_lack("Decoding"):
        segments = decode_segments(model, sampled, encoded, count, settings.two_pass)
    if settings.keep_keyframes:
        for index, segment in segments.items():
            segments[index] = keep_keyframes(segment, torch.cat([fitted[index], fitted[(index + 1) % count]]))
    return {index: segment[..., : settings.height, : settings.width] for index, segment in segments.items()}


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
