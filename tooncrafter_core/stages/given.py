"""What is given: keyframes, sketches and settings, checked, fitted, and put at their frames."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from numbers import Integral
from typing import cast

from torch import Tensor

from ..files.images import check_picture, fit_images, pad_to_latents, sketch_hints, to_rgb
from ..inputs import check_kind, shortened
from ..settings import Settings
from ..sketches.placed import PlacedSketches, Sketch
from ..timeline import place_sketches, place_strengths
from ..toon_crafter import ToonCrafter


def settings_of(given: Settings | None) -> Settings:
    """The settings, or the published ones for None; ValueError for what is neither."""
    check_kind(given, Settings | None, "settings", "Settings, such as Settings(frames=24), or None")
    return given or Settings()


def count_of(keyframes: object) -> int:
    """How many keyframes there are; ValueError where it is no list and no batch of pictures."""
    batch = isinstance(keyframes, Tensor) and keyframes.ndim == 4
    if not batch and (isinstance(keyframes, str | Tensor) or not isinstance(keyframes, Sequence)):
        given = f"of shape {tuple(keyframes.shape)}" if isinstance(keyframes, Tensor) else shortened(keyframes)
        raise ValueError(f"keyframes are {given}; expected a list of pictures (channels, height, width), or one batch")
    return len(cast(Sequence[object], keyframes))


def segments_of(chosen: object, count: int) -> list[int]:
    """Numbers of segments, rising; ValueError where they are not one or more of a film's `count`, the first one 0."""
    numbers = chosen if isinstance(chosen, Collection) and not isinstance(chosen, str | bytes) else ()
    known = [each for each in numbers if isinstance(each, Integral) and each in range(count)]
    if not known or len(known) < len(numbers):
        raise ValueError(f"chosen are segments {shortened(chosen)}; expected one or more of 0 to {count - 1}")
    return sorted({int(each) for each in known})


def sketches_of(sketches: Mapping[int, Tensor | Sketch] | None) -> dict[int, Sketch]:
    """Sketches by frame, those without a strength of their own too; ValueError for other than a mapping."""
    if not isinstance(sketches, Mapping | None):
        raise ValueError(f"sketches are {shortened(sketches)}; expected pictures by frame, such as {{7: picture}}")
    return {index: given if isinstance(given, Sketch) else Sketch(given) for index, given in (sketches or {}).items()}


def picture_of(picture: Tensor, name: str) -> Tensor:
    """One picture (1, 3 or 4, H, W) as RGB (1, 3, H, W), once it is known to be one; see `images.check_picture` for the
    errors."""
    return to_rgb(check_picture(picture, name)[None])


def fit_picture(picture: Tensor, settings: Settings) -> Tensor:
    """A picture (1, c, H, W) at the size that the models work at (1, c, 8 h, 8 w)."""
    return pad_to_latents(fit_images(picture, settings.width, settings.height, settings.fit))


def placed_sketches(
    model: ToonCrafter, sketches: Mapping[int, Sketch], settings: Settings, frames: Sequence[int]
) -> list[PlacedSketches] | None:
    """Sketches at their frames, for each segment.

    Args:
        model: says for which dtype; has the sketch encoder.
        sketches: by frame of the result.
        settings: the size; the strength of those that have none of their own; whether the film is a loop.
        frames: of each segment.

    Returns:
        None where there are no sketches

    Raises:
        ValueError: no sketch encoder, no picture, or a frame outside the result.
    """
    if not sketches:
        return None
    if model.sketch_encoder is None:
        raise ValueError("sketches were given but no sketch encoder was loaded; load sketch_encoder.ckpt as well")
    hints = {index: _hint(sketch, index, settings) for index, sketch in sketches.items()}
    placed = place_sketches(hints, frames, settings.loop).to(model.dtype).split(list(frames))
    strengths = {index: sketch.strength for index, sketch in sketches.items() if sketch.strength is not None}
    if not strengths:
        return [PlacedSketches(segment, settings.sketch_strength) for segment in placed]
    own = place_strengths(strengths, settings.sketch_strength, frames, settings.loop).split(list(frames))
    return [PlacedSketches(*parts) for parts in zip(placed, own, strict=True)]


def _hint(sketch: Sketch, index: object, settings: Settings) -> Tensor:
    """A sketch as white lines on black (1, 8 h, 8 w)."""
    picture = picture_of(sketch.picture, f"the sketch at frame {shortened(index)}")
    return fit_picture(sketch_hints(picture, sketch.polarity), settings)[0]
