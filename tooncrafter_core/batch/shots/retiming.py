"""How a shot's frames are timed after they are drawn."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from numbers import Integral

from torch import Tensor

from ...frames.retime import eased, held, parse_curve, take
from ...frames.spans import spans_of_frames
from ...inputs import shortened
from ...timeline import LONGEST

_LONGEST_HOLD = 16


@dataclass(frozen=True)
class Retiming:
    """Frames along a curve, then held; the defaults leave them as they are.

    Attributes:
        curve: see `retime.parse_curve`; it needs a length.
        length: frames of each segment afterwards, both keyframes included, 2 to 1000; None leaves them as they are.
        blend: mix the two frames around a moment instead of picking the nearer one.
        hold: frames that a drawing is shown, 1 to 16; 2 is on twos.

    Raises:
        ValueError: a value out of range or of another kind.
    """

    curve: str = "linear"
    length: int | None = None
    blend: bool = False
    hold: int = 1

    def __post_init__(self) -> None:
        if not isinstance(self.curve, str):
            raise ValueError(f"curve is {shortened(self.curve)}; expected a text such as sine in-out")
        parse_curve(self.curve)
        if self.length is None and (self.curve, self.blend) != ("linear", False):
            raise ValueError("curve and blend need a length, the frames of each segment afterwards; give one, or none")
        if self.length is not None:
            _check_whole("length", self.length, 2, LONGEST)
        _check_whole("hold", self.hold, 1, _LONGEST_HOLD)
        if not isinstance(self.blend, bool):
            raise ValueError(f"blend is {shortened(self.blend)}; expected true or false")

    def apply(self, frames: Tensor, counts: Sequence[int]) -> Tensor:
        """A result's frames in their new order.

        Args:
            frames: (n, 3, H, W).
            counts: frames of each segment.

        Returns:
            (m, 3, H, W)
        """
        spans = spans_of_frames(len(frames), counts)
        if self.length is not None:
            frames = take(frames, eased(spans, parse_curve(self.curve), self.length), self.blend)
            spans = spans_of_frames(len(frames), [self.length] * len(counts))
        return frames if self.hold == 1 else take(frames, held(spans, self.hold))


def _check_whole(name: str, value: object, low: int, high: int) -> None:
    if not isinstance(value, Integral) or isinstance(value, bool) or not low <= int(value) <= high:
        raise ValueError(f"{name} is {shortened(value)}; expected a whole number from {low} to {high}")
