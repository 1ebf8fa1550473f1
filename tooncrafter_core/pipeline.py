"""Images in, frames out: the whole way through all models, without ComfyUI."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence

import torch
from torch import Tensor

from .inputs import check_kind
from .memory import naming_lack
from .redo import Redo
from .sampling.coarse_to_fine import Run, count_runs, shown_runs
from .sampling.ddim import DDIMStep
from .settings import Settings
from .sketches.placed import Sketch
from .stages.film import Film, Kept, nothing_kept, plans_of
from .stages.given import count_of, settings_of
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
    kept: Kept = nothing_kept,
) -> dict[int, Tensor]:
    """Draw some segments, each as it is with all others; of the keyframes only theirs are looked at.

    Args:
        chosen: numbers of segments, the first one is 0.
        kept: what is known of runs that `draw_run` drew before.
        (the others): see `interpolate`.

    Returns:
        frames (3, t, height, width) by the segments' numbers, rising; both keyframes included

    Raises:
        ValueError: see `interpolate`.
        LackOfMemoryError: likewise.
    """
    film = Film.given(model, keyframes, chosen, settings, sketches, callback)
    return film.decode(film.sample(shown_runs(film.plans, film.chosen), kept))


@torch.inference_mode()
def draw_run(
    model: ToonCrafter,
    keyframes: Sequence[Tensor] | Tensor,
    run: Run,
    settings: Settings | None = None,
    sketches: Mapping[int, Tensor | Sketch] | None = None,
    callback: Callable[[DDIMStep], None] | None = None,
    kept: Kept = nothing_kept,
) -> Tensor:
    """Draw one run of a long segment, as it is with all others.

    Args:
        run: which; a fine one needs what came of the coarse one, which is drawn where it is not kept.
        (the others): see `draw_segments`.

    Returns:
        latents, scaled, see `coarse_to_fine.draw_run`

    Raises:
        ValueError: see `interpolate`, or no such run.
        LackOfMemoryError: likewise.
    """
    film = Film.given(model, keyframes, [run.segment], settings, sketches, callback)
    last = len(film.plans[run.segment].runs) - 1
    if not 0 <= run.number <= last:
        raise ValueError(f"run {run.number} of segment {run.segment} is not there; expected 0 to {last}")
    return film.sample([run], kept)[run]


def sampling_runs(model: ToonCrafter, frames: Sequence[int]) -> int:
    """How often `interpolate` goes through all sampling steps for segments of these lengths: once where the model was
    trained for as many frames, else once for each run of each segment.

    Raises:
        ValueError: more frames than it can draw.
    """
    return count_runs(plans_of(model, frames))
