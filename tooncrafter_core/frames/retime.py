"""Which frames are shown when: easing, holds, trimming, ping-pong, dropping repeats.

Each way gives positions, `take` gets the frames there. Positions are frame numbers, with fractions between two frames.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from ..inputs import shortened
from .spans import Spans

Curve = Callable[[Tensor], Tensor]
"""Time (m,) to progress (m,), both from 0 to 1, rising."""

BEZIER = "bezier"
CURVES: dict[str, Curve] = {
    "linear": lambda time: time,
    "sine in": lambda time: 1 - torch.cos(time * math.pi / 2),
    "sine out": lambda time: torch.sin(time * math.pi / 2),
    "sine in-out": lambda time: (1 - torch.cos(time * math.pi)) / 2,
    "cubic in": lambda time: time**3,
    "cubic out": lambda time: 1 - (1 - time) ** 3,
    "cubic in-out": lambda time: torch.where(time < 0.5, 4 * time**3, 1 - 4 * (1 - time) ** 3),
}
"""By name; `in` starts slowly, `out` ends slowly."""

_BISECTIONS = 50


def parse_curve(text: str) -> Curve:
    """A curve by name, or `bezier x1 y1 x2 y2`, the two handles between (0, 0) and (1, 1).

    Raises:
        ValueError: neither, or a handle outside 0 to 1.
    """
    words = re.split(r"[\s,]+", text.strip().lower())
    name = " ".join(words)
    if name in CURVES:
        return CURVES[name]
    try:
        handles = [float(word) for word in words[1:]]
    except ValueError:
        handles = []
    if words[0] != BEZIER or len(handles) != 4:
        raise ValueError(
            f"cannot read the curve {shortened(text)}; expected {', '.join(CURVES)}, or bezier x1 y1 x2 y2"
        )
    if not all(0 <= value <= 1 for value in handles):
        raise ValueError(
            f"the curve {shortened(text)} has a handle outside 0 to 1, so that time or motion would run backwards"
        )
    return bezier(*handles)


def bezier(x1: float, y1: float, x2: float, y2: float) -> Curve:
    """The cubic Bezier curve from (0, 0) to (1, 1) with handles (x1, y1) and (x2, y2), x being time; x in [0, 1]."""

    def along(first: float, second: float, way: Tensor) -> Tensor:
        rest = 1 - way
        return 3 * rest**2 * way * first + 3 * rest * way**2 * second + way**3

    def progress(time: Tensor) -> Tensor:
        low, high = torch.zeros_like(time), torch.ones_like(time)
        for _ in range(_BISECTIONS):  # x rises along the curve
            middle = (low + high) / 2
            before = along(x1, x2, middle) < time
            low, high = torch.where(before, middle, low), torch.where(before, high, middle)
        return along(y1, y2, (low + high) / 2)

    return progress


def eased(spans: Spans, curve: Curve, length: int) -> Tensor:
    """Positions of `length` frames for each segment, both keyframes included, along a curve.

    Raises:
        ValueError: fewer than 2.
    """
    if length < 2:
        raise ValueError(f"length is {length}; expected 2 or more frames for each segment, both keyframes included")
    time = torch.linspace(0, 1, length, dtype=torch.float64)
    return spans.place(lambda frames: curve(time).clamp(0, 1) * (frames - 1))


def held(spans: Spans, each: int) -> Tensor:
    """Positions that show every `each`-th frame of a segment as many times, so that the number of frames stays.

    Counting begins anew at every keyframe, and the last keyframe is shown where it was.
    """

    def within(frames: int) -> Tensor:
        moments = torch.arange(frames)
        shown = moments - moments % each
        shown[-1] = frames - 1
        return shown

    return spans.place(within)


def trimmed(spans: Spans, count: int) -> Tensor:
    """Positions without the `count` frames on each side of every keyframe; the keyframes stay.

    Raises:
        ValueError: no frame would be left between keyframes.
    """
    shortest = min(spans.frames)
    if shortest - 2 - 2 * count < 1:
        raise ValueError(
            f"dropping {count} frames beside each keyframe leaves none of the {shortest - 2} between two "
            f"keyframes; expected at most {max(0, (shortest - 3) // 2)}"
        )
    return spans.place(lambda frames: torch.tensor([0, *range(count + 1, frames - 1 - count), frames - 1]))


def there_and_back(total: int, repeat_ends: bool) -> Tensor:
    """Positions forward, then backward. Without `repeat_ends` the way back leaves out both ends, for a loop."""
    forward = torch.arange(total)
    back = forward.flip(0)
    return torch.cat([forward, back if repeat_ends else back[1:-1]])


def distinct(frames: Tensor, threshold: float, block: int = 8) -> Tensor:
    """Positions without frames that are nearly the last one kept.

    A frame is new where a block of pixels differs by more than `threshold` on average: small things that move count,
    noise does not.

    Args:
        frames: (n, c, H, W) in [0, 1].
        threshold: in levels of 255.
        block: side, pixels.
    """
    side = min(block, *frames.shape[-2:])
    kept = [0]
    for index in range(1, len(frames)):
        change = (frames[index] - frames[kept[-1]]).abs().mean(dim=0, keepdim=True)
        if F.avg_pool2d(change[None], side, ceil_mode=True).max() * 255 > threshold:
            kept.append(index)
    return torch.tensor(kept)


def take(batch: Tensor, positions: Tensor, blend: bool = False) -> Tensor:
    """What a batch has at positions: the nearest frame, or with `blend` a mix of the two around.

    Args:
        batch: (n, ...).
        positions: (m,) in [0, n); after n - 1 comes frame 0 again.

    Returns:
        (m, ...)
    """
    count = len(batch)
    if not blend:
        return batch[(positions + 0.5).floor().long() % count]
    before = positions.floor().long()
    weights = (positions - before).to(batch)
    mixed = batch.new_empty(len(positions), *batch.shape[1:])
    for row, first, weight in zip(mixed, (before % count).tolist(), weights, strict=True):  # one by one, in cache
        torch.lerp(batch[first], batch[(first + 1) % count], weight, out=row)
    return mixed
