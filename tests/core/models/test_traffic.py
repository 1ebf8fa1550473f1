"""One segment of the published size launches and moves no more than was reached; see docs/performance.md."""

from __future__ import annotations

import benchmark
import pytest
import torch
from benchmarks.counters import count_traffic

from tooncrafter_core.models.layout import contiguous, to_images, to_video, writable


def test_a_known_sum() -> None:
    """Views are free, what changes in place is read and written, and `out` is written only."""
    x, y = torch.empty(2, 512, device="meta"), torch.empty(512, device="meta")
    traffic = count_traffic(lambda: x.t().add_(1))
    assert (traffic.kernels, traffic.moved) == ({"add_": 1}, {"add_": 2 * x.nbytes})
    traffic = count_traffic(lambda: torch.add(x, y, out=torch.empty_like(x)))
    assert (traffic.kernels, traffic.moved) == ({"add": 1}, {"add": 2 * x.nbytes + y.nbytes})


@pytest.mark.parametrize(("stage", "kernels", "gib"), [("U-Net pass", 1376, 53.9), ("decode once", 260, 126.2)])
def test_a_segment(stage: str, kernels: int, gib: float) -> None:
    traffic = count_traffic(dict(benchmark.traffic_of_stages())[stage])
    assert traffic.kernels.total() <= kernels
    assert 0.98 * gib < traffic.moved.total() / 2**30 <= gib


def test_results_are_contiguous_whatever_comes_in() -> None:
    images = torch.randn(6, 2, 4, 5)
    video = to_video(images, 3)
    for recorded in (True, False):
        with torch.set_grad_enabled(recorded):
            out = contiguous(torch.add, video, video)
        assert out.is_contiguous() and torch.equal(out, 2 * video)
    assert torch.equal(video[1, :, 2], images[5])
    assert torch.equal(to_images(video), images)


def test_nothing_a_gradient_needs_is_overwritten() -> None:
    x = torch.randn(3)
    assert writable(x) is x
    with torch.enable_grad():
        assert writable(x) is not x
