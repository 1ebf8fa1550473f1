"""Which frames are guided: properties over many clips, depths and seeds."""

from __future__ import annotations

from collections import Counter
from itertools import pairwise

import pytest
import torch

from tooncrafter_core.sketches.guided_frames import bisection, choose_guided_frames, hints, random_selection

FRAMES = range(3, 40)


def _generator(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def _check_interior(chosen: tuple[int, ...], frames: int) -> None:
    assert chosen
    assert list(chosen) == sorted(set(chosen))
    assert chosen[0] > 0
    assert chosen[-1] < frames - 1


def test_bisection_of_sixteen_frames() -> None:
    assert bisection(16, 1) == (7,)
    assert bisection(16, 2) == (3, 7, 11)
    assert bisection(16, 3) == (1, 3, 5, 7, 9, 11, 13)
    assert bisection(16, 4) == tuple(range(1, 15))


@pytest.mark.parametrize("depth", range(1, 7))
@pytest.mark.parametrize("frames", FRAMES)
def test_bisection(frames: int, depth: int) -> None:
    chosen = bisection(frames, depth)
    _check_interior(chosen, frames)
    assert len(chosen) == min(2**depth - 1, frames - 2)
    gaps = [after - before for before, after in pairwise((0, *chosen, frames - 1))]
    assert max(gaps) - min(gaps) <= 1
    if depth > 1:
        assert set(bisection(frames, depth - 1)) <= set(chosen)


@pytest.mark.parametrize("frames", FRAMES)
def test_random_selection(frames: int) -> None:
    counts = Counter()
    seen = set()
    generator = _generator(frames)
    for _ in range(60):
        chosen = random_selection(frames, generator)
        _check_interior(chosen, frames)
        counts[len(chosen)] += 1
        seen.update(chosen)
    assert len(counts) > 1 or frames == 3
    assert seen == set(range(1, frames - 1))


def test_random_numbers_are_as_likely() -> None:
    generator = _generator(0)
    counts = Counter(len(random_selection(7, generator)) for _ in range(2000))
    assert sorted(counts) == [1, 2, 3, 4, 5]
    assert min(counts.values()) > 330


def test_four_in_five_are_bisections() -> None:
    """In 40 frames a random selection is practically never a bisection."""
    generator = _generator(1)
    draws = [choose_guided_frames(40, generator) for _ in range(3000)]
    counts = Counter({depth: draws.count(bisection(40, depth)) for depth in range(1, 5)})
    assert 0.77 < sum(counts.values()) / len(draws) < 0.83
    assert all(500 < count < 700 for count in counts.values())
    for chosen in draws[:200]:
        _check_interior(chosen, 40)


def test_same_generator_same_frames() -> None:
    assert [choose_guided_frames(16, _generator(s)) for s in range(20)] == [
        choose_guided_frames(16, _generator(s)) for s in range(20)
    ]


def test_what_cannot_be() -> None:
    for call in (
        lambda: bisection(2, 1),
        lambda: random_selection(2, _generator(0)),
        lambda: choose_guided_frames(2, _generator(0)),
    ):
        with pytest.raises(ValueError, match="none between its keyframes"):
            call()
    with pytest.raises(ValueError, match="depth 0"):
        bisection(16, 0)


@pytest.mark.parametrize("lead", [(), (1,), (2, 1)])
def test_hints(lead: tuple[int, ...]) -> None:
    lines = torch.rand(*lead, 5, 4, 6) + 0.1
    found = hints(lines, (1, 3))
    assert found.shape == lines.shape
    for frame in range(5):
        expected = lines[..., frame, :, :] if frame in (1, 3) else torch.zeros(*lead, 4, 6)
        assert torch.equal(found[..., frame, :, :], expected)
    assert not hints(lines, ()).any()
    for wrong in (5, -1):
        with pytest.raises(ValueError, match="expected 0 to 4"):
            hints(lines, (wrong,))
