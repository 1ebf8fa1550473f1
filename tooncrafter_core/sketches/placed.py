"""A sketch as `interpolate` takes it, and sketches at their frames as the denoiser does."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from numbers import Real

from torch import Tensor

from ..files.images import Polarity
from ..inputs import shortened
from ..sampling.coarse_to_fine import guiding_frames

STRONGEST = 10
"""Largest strength of a sketch."""


@dataclass(frozen=True)
class Sketch:
    """A line drawing for a frame.

    Attributes:
        picture: (1, 3 or 4, H, W) in [0, 1], any size.
        strength: factor on the sketch encoder's outputs at its frame, 0 to 10; None is that of all.
        polarity: what lines and paper are, see `images.sketch_hints`.

    Raises:
        ValueError: another strength.
    """

    picture: Tensor
    strength: float | None = None
    polarity: Polarity = "auto"

    def __post_init__(self) -> None:
        strength = self.strength
        if strength is not None and not (isinstance(strength, Real) and 0 <= strength <= STRONGEST):  # nor is NaN
            raise ValueError(f"the strength of a sketch is {shortened(strength)}; expected 0 to {STRONGEST}")


@dataclass(frozen=True)
class PlacedSketches:
    """Sketches at the frames of one segment.

    Attributes:
        hints: white lines on black (t, 1, H, W).
        strength: factor on the sketch encoder's outputs, or one for each frame (t,).
    """

    hints: Tensor
    strength: float | Tensor

    def of_run(self, frames: Sequence[int]) -> PlacedSketches:
        """What guides a run of some frames of the segment, see `guiding_frames`."""
        chosen = guiding_frames(self.hints, frames)
        strength = self.strength[chosen] if isinstance(self.strength, Tensor) else self.strength
        return PlacedSketches(self.hints[chosen], strength)
