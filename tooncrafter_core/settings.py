"""How to interpolate."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from numbers import Integral, Real

from .files.images import FITS, Fit, check_size
from .inputs import shortened
from .sampling.guidance import Interval
from .sketches.placed import STRONGEST
from .timeline import parse_frames

_RANGES = {
    "frame_rate": (1, 60),
    "steps": (1, 1000),
    "guidance_scale": (0, 100),
    "guidance_rescale": (0, 1),
    "guidance_from": (0, 1),
    "guidance_to": (0, 1),
    "eta": (0, 1),
    "seed": (0, 2**64 - 1),
    "sketch_strength": (0, STRONGEST),
}
_KINDS: dict[type, tuple[type, str]] = {
    str: (str, "a text"),
    int: (Integral, "a whole number"),
    float: (Real, "a number"),
    bool: (bool, "True or False"),
}


def nearest_frame_rate(fps: float) -> int:
    """The nearest to a clip's that `Settings.frame_rate` can be."""
    low, high = _RANGES["frame_rate"]
    return min(max(round(fps), low), high)


VERSION = 2
"""Raised when the same input and settings come to other frames: what keeps frames has it in their keys."""


@dataclass(frozen=True)
class Settings:
    """How to interpolate; the defaults are the published settings.

    Attributes:
        prompt: what the pictures show.
        negative_prompt: what to stay away from.
        width: width of the result in pixels, 8 or more; what the models work at is the next multiple of 8.
        height: height of the result, likewise.
        fit: how keyframes and sketches of another shape come to that size, see `images.fit_images`.
        loop: go on from the last keyframe to the first; one keyframe is enough then.
        frames: frames of each segment, both keyframes included: one number, or one for each segment such as
            `16, 24, 12`, as a text, a list or a tuple. The models were trained for 16, and more are drawn coarse to
            fine, see `coarse_to_fine`.
        frame_rate: frames per second the model is told, 5 to 30; smaller means larger motion.
        steps: sampling steps, 1 to 1000.
        guidance_scale: weight of the conditional prediction; 1 is no guidance.
        guidance_rescale: 0 to 1, see `guidance.guide`.
        guidance_from: share of the walk from which guidance counts, see `guidance.Interval`; 0 is the first step.
        guidance_to: share up to which it counts; 1 is the clean end. Elsewhere a step takes half the time.
        eta: 0 is deterministic sampling, 1 adds the most noise.
        clean_end: the last step removes all noise, see `ddim.Walk`.
        seed: of the CPU random generator, so that it means the same picture on every device.
        sketch_strength: factor on the sketch encoder's outputs.
        two_pass: decode the two centre frames a second time, see `Autoencoder.decode_segments_twice`.
        keep_keyframes: show the keyframes as they came, see `frames.keyframes.keep_keyframes`.

    Raises:
        ValueError: a value out of range or of another kind.
    """

    prompt: str = ""
    negative_prompt: str = ""
    width: int = 512
    height: int = 320
    fit: Fit = "crop"
    loop: bool = False
    frames: int | str | Sequence[int] = 16
    frame_rate: int = 10
    steps: int = 50
    guidance_scale: float = 7.5
    guidance_rescale: float = 0.7
    guidance_from: float = 0.0
    guidance_to: float = 1.0
    eta: float = 1.0
    clean_end: bool = False
    seed: int = 0
    sketch_strength: float = 0.6
    two_pass: bool = True
    keep_keyframes: bool = False

    def __post_init__(self) -> None:
        parse_frames(self.frames)
        for field in (field for field in fields(self) if field.name != "frames"):
            value, wanted = getattr(self, field.name), type(field.default)
            kind, called = _KINDS[wanted]
            if not isinstance(value, kind) or (isinstance(value, bool) and wanted is not bool):
                raise ValueError(f"{field.name} is {shortened(value)}; expected {called}")
        for name, (low, high) in _RANGES.items():
            value = getattr(self, name)
            if not low <= value <= high:  # which NaN is not either
                raise ValueError(f"{name} is {shortened(value)}; expected {low} to {high}")
        if self.fit not in FITS:
            raise ValueError(f"fit is {shortened(self.fit)}; expected one of {', '.join(FITS)}")
        check_size(self.width, self.height)
        Interval(self.guidance_from, self.guidance_to)  # which refuses an end before its start
