"""The report's measures, on cases whose answers are known."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from tooncrafter_core.evaluation.metrics import (
    PSNR_CEILING,
    cross_dissolve,
    dilate,
    edge_match,
    line_mask,
    nearest_keyframe,
    perceptual_distances,
    psnr,
)


def pictures(count: int, seed: int = 0) -> Tensor:
    return torch.rand(count, 3, 8, 12, generator=torch.Generator().manual_seed(seed))


def mask(*columns: int) -> Tensor:
    """Vertical lines of one pixel."""
    drawing = torch.zeros(1, 1, 20, 40, dtype=torch.bool)
    drawing[..., list(columns)] = True
    return drawing


def test_a_dissolve_blends_by_time() -> None:
    first, last = pictures(2)
    frames = cross_dissolve(first, last, 5)
    torch.testing.assert_close(frames, torch.stack([first + (last - first) * i / 4 for i in range(5)]))
    assert torch.equal(frames[0], first) and torch.equal(frames[-1], last)


def test_a_dissolve_of_equal_frames_is_that_frame() -> None:
    picture = pictures(1)[0]
    assert torch.equal(cross_dissolve(picture, picture, 16), picture.expand(16, -1, -1, -1))


@pytest.mark.parametrize(("frames", "of_first"), [(2, 1), (5, 3), (16, 8)])
def test_the_nearest_keyframe_is_repeated(frames: int, of_first: int) -> None:
    first, last = pictures(2)
    copies = nearest_keyframe(first, last, frames)
    assert [bool(torch.equal(copy, first)) for copy in copies] == [i < of_first for i in range(frames)]
    assert torch.equal(copies[-1], last)


@pytest.mark.parametrize("make", [cross_dissolve, nearest_keyframe])
def test_baselines_refuse_a_single_frame(make: object) -> None:
    with pytest.raises(ValueError, match="frames is 1; expected 2 or more"):
        make(*pictures(2), 1)  # type: ignore[operator]


def test_psnr_of_a_known_error() -> None:
    truth = torch.full((3, 3, 4, 4), 0.5)
    assert psnr(truth + 0.1, truth) == pytest.approx(20, abs=1e-4)
    assert psnr(truth, truth) == PSNR_CEILING
    half = torch.cat([truth + 0.1, truth])  # over all frames together, not a mean of dB
    assert psnr(half, torch.cat([truth, truth])) == pytest.approx(20 + 10 * math.log10(2), abs=1e-4)


def test_psnr_refuses_what_is_not_comparable() -> None:
    frames = pictures(2)
    with pytest.raises(ValueError, match="expected one shape"):
        psnr(frames, frames[:1])
    with pytest.raises(ValueError, match="expected floats, 0 to 1"):
        psnr(frames * 2 - 1, frames)
    with pytest.raises(ValueError, match=r"truth are torch\.uint8"):
        psnr(frames, (frames * 255).byte())


@pytest.mark.parametrize("batch", [1, 3, 100])
def test_perceptual_distances_are_batched_in_the_models_range(batch: int) -> None:
    seen: list[int] = []

    def distance(a: Tensor, b: Tensor) -> Tensor:
        seen.append(len(a))
        assert a.min() < 0, "not in [-1, 1]"
        return (a - b).abs().mean(dim=(1, 2, 3))

    frames, truth = pictures(7), pictures(7, seed=1)
    found = perceptual_distances(distance, frames, truth, batch)
    torch.testing.assert_close(found, 2 * (frames - truth).abs().mean(dim=(1, 2, 3)))
    assert max(seen) <= batch and sum(seen) == 7


def test_dilation_is_by_a_disc() -> None:
    point = torch.zeros(1, 1, 9, 9, dtype=torch.bool)
    point[..., 4, 4] = True
    rows, columns = torch.meshgrid(torch.arange(9) - 4, torch.arange(9) - 4, indexing="ij")
    for radius in (0, 1, 2, 3):
        assert torch.equal(dilate(point, radius)[0, 0], rows**2 + columns**2 <= radius**2)


@pytest.mark.parametrize(("shift", "expected"), [(0, 1.0), (1, 1.0), (2, 1.0), (3, 0.0)])
def test_a_shifted_line_matches_within_the_tolerance(shift: int, expected: float) -> None:
    assert edge_match(mask(10 + shift), mask(10)) == (expected, expected, expected)


def test_precision_recall_and_f1_of_a_line_too_many_and_one_too_few() -> None:
    assert edge_match(mask(10, 30), mask(10)) == pytest.approx((0.5, 1.0, 2 / 3))
    assert edge_match(mask(10), mask(10, 30)) == pytest.approx((1.0, 0.5, 2 / 3))


def test_a_blob_does_not_pass_for_lines() -> None:
    everything = torch.ones(1, 1, 20, 40, dtype=torch.bool)
    precision, recall, f1 = edge_match(everything, mask(10))
    assert recall == 1 and precision == pytest.approx(5 / 40) and f1 < 0.25


def test_empty_drawings() -> None:
    assert edge_match(mask(), mask()).f1 == 1
    assert edge_match(mask(10), mask()) == (0, 0, 0)
    assert edge_match(mask(), mask(10)) == (0, 0, 0)


def test_edge_match_refuses_drawings_that_are_not_masks() -> None:
    with pytest.raises(ValueError, match="expected two bool masks"):
        edge_match(mask(10).float(), mask(10))
    assert edge_match(line_mask(mask(10) * 0.6), mask(10)).f1 == 1
    assert not line_mask(mask(10) * 0.4).any()
