"""Segments of more frames than the model was trained for: which runs draw them, and what each run is given."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import pairwise

import pytest
import torch
from torch import Tensor, nn

from tooncrafter_core import Settings, Sketch, ToonCrafter, interpolate
from tooncrafter_core.pipeline import sampling_runs
from tooncrafter_core.sampling.coarse_to_fine import Role, count_runs, draw_segment, guiding_frames, plan_runs

LENGTHS = [17, 18, 24, 31, 32, 46, 64, 100, 121, 181, 225, 226]


@pytest.mark.parametrize("frames", [2, 15, 16])
def test_up_to_the_trained_length_there_is_one_run(frames: int) -> None:
    plan = plan_runs(frames, 16)
    assert plan.coarse == tuple(range(frames)) and not plan.fine and count_runs([plan] * 5) == 1


@pytest.mark.parametrize("frames", LENGTHS)
def test_no_run_is_longer_than_the_trained_length_or_begins_or_ends_without_a_keyframe(frames: int) -> None:
    plan = plan_runs(frames, 16)
    assert (plan.coarse[0], plan.coarse[-1]) == (0, frames - 1)
    assert 8 < len(plan.coarse) <= 16 and max(map(len, plan.fine)) <= 16
    assert [span[0] for span in plan.fine] == [plan.coarse[at] for at in plan.keyframes[:-1]]
    assert [span[-1] for span in plan.fine] == [plan.coarse[at] for at in plan.keyframes[1:]]
    assert sorted({frame for span in plan.fine for frame in span}) == list(range(frames))


@pytest.mark.parametrize("frames", LENGTHS)
def test_time_is_uniform_as_far_as_whole_frames_allow(frames: int) -> None:
    plan = plan_runs(frames, 16)
    lengths = [len(span) for span in plan.fine]
    step = (frames - 1) / (len(plan.coarse) - 1)
    assert max(lengths) - min(lengths) <= step + 1
    assert max(abs(frame - index * step) for index, frame in enumerate(plan.coarse)) <= 0.5
    assert all(b > a for a, b in pairwise(plan.coarse))


@pytest.mark.parametrize(("frames", "runs"), [(17, 3), (31, 3), (32, 4), (46, 4), (64, 6), (226, 16)])
def test_no_more_runs_than_needed(frames: int, runs: int) -> None:
    plan = plan_runs(frames, 16)
    assert (count_runs([plan]), count_runs([plan] * 3)) == (runs, 3 * runs)
    assert count_runs([plan, plan_runs(5, 16)]) == runs + 1


def test_joints_of_16_frame_runs_are_where_the_coarse_run_drew_them() -> None:
    assert [list(span) for span in plan_runs(31, 16).fine] == [list(range(16)), list(range(15, 31))]
    assert plan_runs(46, 16).coarse == tuple(range(0, 46, 3))


@pytest.mark.parametrize(("frames", "coarse"), [(17, 16), (24, 16), (30, 16), (31, 15), (46, 16), (61, 13), (64, 16)])
def test_the_coarse_run_is_as_long_as_trained_where_that_gives_joints(frames: int, coarse: int) -> None:
    assert len(plan_runs(frames, 16).coarse) == coarse


def test_the_trained_length_is_the_models() -> None:
    assert count_runs([plan_runs(5, 4)]) == 3
    with pytest.raises(ValueError, match=r"frames is 11; .* trained for 4, .* up to 10"):
        plan_runs(11, 4)


def test_fine_runs_go_on_between_frames_of_the_coarse_one() -> None:
    """Each run draws its frames' numbers plus 100 for every run before it."""
    seen: list[tuple[list[int], list[float], Role]] = []

    def draw(frames: Sequence[int], ends: Tensor, role: Role) -> Tensor:
        seen.append((list(frames), ends.flatten().tolist(), role))
        return (torch.tensor(frames, dtype=torch.float32) + 100 * (len(seen) - 1))[:, None, None, None]

    drawn = draw_segment(draw, torch.tensor([-1.0, -2.0])[:, None, None, None], plan_runs(7, 4)).flatten()
    assert seen == [
        ([0, 3, 6], [-1, -2], Role.COARSE),
        ([0, 1, 2, 3], [-1, 3], Role.FINE),
        ([3, 4, 5, 6], [3, -2], Role.FINE),
    ]
    assert drawn.tolist() == [100, 101, 102, 203, 204, 205, 206]


def test_a_short_segment_is_one_run() -> None:
    def draw(frames: Sequence[int], ends: Tensor, role: Role) -> Tensor:
        assert role is Role.ONLY and not role.ends_clean and not role.ends_averaged
        return torch.zeros(len(frames), 1, 1, 1)

    assert len(draw_segment(draw, torch.zeros(2, 1, 1, 1), plan_runs(4, 4))) == 4


def test_a_coarse_frame_takes_the_nearest_guide_of_its_surroundings() -> None:
    guides = torch.zeros(13, 2, 2)
    guides[[0, 4, 5, 9]] = 1
    assert guiding_frames(guides, [0, 4, 8, 12]) == [0, 4, 9, 12]
    guides[4] = 0
    assert guiding_frames(guides, [0, 4, 8, 12]) == [0, 5, 9, 12]


def test_a_fine_run_takes_each_frames_own_guide() -> None:
    guides = torch.zeros(13, 2, 2)
    guides[[3, 6, 12]] = 1
    assert guiding_frames(guides, range(4, 9)) == list(range(4, 9))


@contextmanager
def watched(module: nn.Module) -> Iterator[list[tuple[Tensor, ...]]]:
    """What a module is called with."""
    calls: list[tuple[Tensor, ...]] = []
    handle = module.register_forward_pre_hook(lambda _, inputs: calls.append(inputs))
    try:
        yield calls
    finally:
        handle.remove()


def long(tiny: ToonCrafter, frames: int, sketches: dict[int, Tensor | Sketch] | None = None, seed: int = 0) -> Tensor:
    keyframes = torch.rand(2, 3, 16, 16, generator=torch.Generator().manual_seed(0))
    settings = Settings(width=16, height=16, steps=1, frames=frames, guidance_scale=1, seed=seed)
    return interpolate(tiny, keyframes, settings, sketches)


@pytest.mark.parametrize("frames", [2, 5, 15, 16, 17, 31, 64])
def test_interpolate_any_number_of_frames(frames: int, tiny: ToonCrafter) -> None:
    with watched(tiny.unet) as calls:
        out = long(tiny, frames)
    assert out.shape == (frames, 3, 16, 16)
    assert out.isfinite().all() and out.std() > 0.02
    assert len(calls) == sampling_runs(tiny, [frames])
    for x, *_ in calls:
        given = x[0, 4:].flatten(2).any(dim=2).any(dim=0)
        assert len(given) <= 16 and given[[0, -1]].all() and not given[1:-1].any()


def test_each_run_has_noise_of_its_own(tiny: ToonCrafter) -> None:
    with watched(tiny.unet) as calls:
        long(tiny, 31)
        long(tiny, 31, seed=1)
    noise = [x[0, :4] for x, *_ in calls]
    assert [each.shape[1] for each in noise] == [15, 16, 16] * 2
    assert not torch.equal(noise[1], noise[2]) and not torch.equal(noise[1], noise[4])


def test_too_many_frames_are_refused_before_anything_runs(tiny: ToonCrafter) -> None:
    with watched(tiny.vision) as calls, pytest.raises(ValueError, match="up to 226"):
        long(tiny, 227)
    assert not calls


def test_a_sketch_guides_the_coarse_run_and_the_fine_run_that_holds_it(tiny: ToonCrafter) -> None:
    assert tiny.sketch_encoder is not None
    sketch = torch.zeros(3, 16, 16)
    sketch[:, 4] = 1
    with watched(tiny.sketch_encoder) as calls:
        long(tiny, 46, {16: sketch})
    guided = [hint[0, 0].flatten(1).any(dim=1).nonzero().flatten().tolist() for _, hint, *_ in calls]
    assert guided == [[5], [], [1], []]


def test_a_strength_goes_with_its_sketch_into_every_run(tiny: ToonCrafter) -> None:
    assert tiny.sketch_encoder is not None
    sketch = torch.zeros(3, 16, 16)
    sketch[:, 4] = 1
    with watched(tiny.sketch_encoder) as calls:
        long(tiny, 46, {16: Sketch(sketch, 0.25), 40: sketch})
    for _, hint, *_, strengths in calls:
        guided = hint[0, 0].flatten(1).any(dim=1)
        assert strengths.shape == (1, len(guided))
        assert torch.allclose(strengths[0, ~guided], torch.tensor(0.6))
    found = [strengths[0, hint[0, 0].flatten(1).any(dim=1)].tolist() for _, hint, *_, strengths in calls]
    assert found == [pytest.approx([0.25, 0.6]), [], [0.25], [pytest.approx(0.6)]]
