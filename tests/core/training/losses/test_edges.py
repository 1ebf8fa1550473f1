"""The distance of edges."""

from __future__ import annotations

import pytest
import torch

from tooncrafter_core.training.losses.edges import edge_distance


def test_a_shade_has_no_edges() -> None:
    pictures = torch.rand(2, 3, 8, 6, generator=torch.Generator().manual_seed(0))
    assert edge_distance(pictures, pictures + 0.25).item() == pytest.approx(0, abs=1e-6)


def test_a_line_that_is_lost_counts_both_its_sides() -> None:
    """One pixel wide and down all of a picture 8 wide: 2 of 7 steps across are off by its height, none down."""
    truth = torch.zeros(1, 1, 5, 8)
    truth[..., 3] = 0.6
    assert edge_distance(torch.zeros_like(truth), truth).item() == pytest.approx(2 / 7 * 0.6)


def test_a_blurred_edge_is_farther_than_a_weak_one() -> None:
    """The same mean difference of pixels: spread over two pixels, it loses more of its step."""
    truth = torch.zeros(1, 1, 4, 8)
    truth[..., 4:] = 1
    blurred, weak = truth.clone(), truth.clone()
    blurred[..., 3], blurred[..., 4] = 0.25, 0.75
    weak[..., 4:] = 1 - 0.5 / 4
    assert (blurred - truth).abs().mean() == pytest.approx((weak - truth).abs().mean())
    assert edge_distance(blurred, truth) > edge_distance(weak, truth)
