"""Which frames of a clip have a drawing while the sketch encoder trains (ToonCrafter, section 3.4).

Four draws in five are by bisection: the interior frame in the middle between the two keyframes (depth 1), then the
middles of both halves (depth 2), and so on to a depth of 1 to 4. The others are a random number of interior frames at
random. Keyframes, the first and the last, are never guided.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Generator, Tensor

BISECTION_SHARE = 0.8
DEEPEST = 4


def bisection(frames: int, depth: int) -> tuple[int, ...]:
    """The interior frames that `depth` bisections between the keyframes reach.

    A segment with no frame inside is left as it is, so there are min(2^depth - 1, frames - 2). Distances between
    neighbours, keyframes included, differ by 1 at most.

    Args:
        frames: frames of the clip, 3 or more.
        depth: 1 or more.

    Returns:
        frame numbers from 0, rising.

    Raises:
        ValueError: too few frames, or no depth.
    """
    _check_frames(frames)
    if depth < 1:
        raise ValueError(f"bisection to depth {depth}; expected 1 or more")
    stops = [0, frames - 1]
    for _ in range(depth):
        middles = ((low + high) // 2 for low, high in pairwise(stops))
        stops = sorted({*stops, *middles})
    return tuple(stops[1:-1])


def random_selection(frames: int, generator: Generator) -> tuple[int, ...]:
    """A random number, 1 to all, of interior frames at random; every number is as likely.

    Args:
        frames: frames of the clip, 3 or more.
        generator: the CPU generator to draw from.

    Returns:
        frame numbers from 0, rising.

    Raises:
        ValueError: too few frames.
    """
    _check_frames(frames)
    count = int(torch.randint(1, frames - 1, (1,), generator=generator))
    chosen = torch.randperm(frames - 2, generator=generator)[:count] + 1
    return tuple(sorted(int(frame) for frame in chosen))


def choose_guided_frames(frames: int, generator: Generator) -> tuple[int, ...]:
    """The guided frames of one training sample: bisection to depth 1 to 4 (80%), or a random selection (20%).

    Args:
        frames: frames of the clip, 3 or more.
        generator: the CPU generator to draw from.

    Returns:
        frame numbers from 0, rising; one or more, no keyframe.

    Raises:
        ValueError: too few frames.
    """
    if float(torch.rand(1, generator=generator)) >= BISECTION_SHARE:
        return random_selection(frames, generator)
    return bisection(frames, int(torch.randint(1, DEEPEST + 1, (1,), generator=generator)))


def hints(lines: Tensor, guided: Sequence[int]) -> Tensor:
    """The sketch encoder's hints: line drawings at the guided frames, black at all others.

    Args:
        lines: line drawings of all frames (..., t, h, w), white on black.
        guided: frame numbers, the same for everything before t; stack samples of different choices.

    Returns:
        (..., t, h, w), a new tensor.

    Raises:
        ValueError: a frame number is not of the clip.
    """
    frames = lines.shape[-3]
    if any(not 0 <= frame < frames for frame in guided):
        raise ValueError(f"guided frames {tuple(guided)} of a clip of {frames} frames; expected 0 to {frames - 1}")
    drawn = torch.zeros(frames, 1, 1, dtype=torch.bool, device=lines.device)
    drawn[list(guided)] = True
    return torch.where(drawn, lines, torch.zeros_like(lines))


def _check_frames(frames: int) -> None:
    if frames < 3:
        raise ValueError(f"a clip of {frames} frames has none between its keyframes; expected 3 or more")
