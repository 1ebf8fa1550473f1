"""What a measure is, and what it is given."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import torch
from torch import Tensor

from ...sketches.lines import extract_lines
from ..metrics import line_mask
from ..optical_flow import is_seen_in_both, optical_flow

Better = Literal["higher", "lower"]


@dataclass(frozen=True)
class Truth:
    """True frames (t, 3, H, W) in [0, 1] and what they show. What measures need of them is made once."""

    frames: Tensor
    prompt: str = ""

    @cached_property
    def lines(self) -> Tensor:
        """The lines of every frame: masks (t, 1, H, W)."""
        return lines_of(self.frames)

    @cached_property
    def motion(self) -> list[tuple[Tensor, Tensor]]:
        """From each frame to the next: flow (2, H, W), and which pixels (H, W) are seen in both."""
        pairs = list(zip(self.frames, self.frames[1:], strict=False))
        flows = [(optical_flow(a, b), optical_flow(b, a)) for a, b in pairs]
        return [(there, is_seen_in_both(there, back)) for there, back in flows]


def lines_of(frames: Tensor) -> Tensor:
    """Masks (t, 1, H, W) of the lines that the project's own extractor finds."""
    with torch.inference_mode():
        return line_mask(extract_lines(frames))


def _as_it_is(value: float) -> float:
    return value


@dataclass(frozen=True)
class Measure:
    """One number for each frame between the keyframes.

    Attributes:
        name: head of its column, with the unit.
        better: which way.
        about: one sentence for a reader.
        values: frames (t, 3, H, W) in [0, 1] and the truth -> (t - 2,), which can be averaged over frames.
        shown: what is shown of such an average.
        of_truth: whether true frames have a value that says something.
    """

    name: str
    better: Better
    about: str
    values: Callable[[Tensor, Truth], Tensor]
    shown: Callable[[float], float] = _as_it_is
    of_truth: bool = False
