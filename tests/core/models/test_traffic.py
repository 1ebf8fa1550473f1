"""One segment of the published size launches and moves no more than was reached."""

from __future__ import annotations

import benchmark
import pytest
import torch


def test_a_known_sum() -> None:
    """Views are free, what changes in place is read and written, and `out` is written only."""
    x, y = torch.empty(2, 512, device="meta"), torch.empty(512, device="meta")
    traffic = benchmark.count_traffic(lambda: x.t().add_(1))
    assert (traffic.kernels, traffic.moved) == ({"add_": 1}, {"add_": 2 * x.nbytes})
    traffic = benchmark.count_traffic(lambda: torch.add(x, y, out=torch.empty_like(x)))
    assert (traffic.kernels, traffic.moved) == ({"add": 1}, {"add": 2 * x.nbytes + y.nbytes})


@pytest.mark.parametrize(("stage", "kernels", "gib"), [("U-Net pass", 1489, 55.6), ("decode once", 297, 147.3)])
def test_a_segment(stage: str, kernels: int, gib: float) -> None:
    traffic = benchmark.count_traffic(dict(benchmark.traffic_of_stages())[stage])
    assert traffic.kernels.total() <= kernels
    assert 0.98 * gib < traffic.moved.total() / 2**30 <= gib
