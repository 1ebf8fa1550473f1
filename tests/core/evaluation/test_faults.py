"""Outlines, still background and ink, on drawings whose faults are known."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from tooncrafter_core.evaluation.metrics import line_mask
from tooncrafter_core.evaluation.report.faults import faults
from tooncrafter_core.evaluation.report.windows import FRAMES, MIDDLE


def bars() -> Tensor:
    """A black bar 4 px wide that moves by 1 px a frame over grey ground with a still half below."""
    frames = torch.full((FRAMES, 3, 32, 64), 0.8)
    for number, frame in enumerate(frames):
        frame[:, :16, 8 + number : 12 + number] = 0
    return frames


def dark(frames: Tensor) -> Tensor:
    return (frames.mean(dim=1, keepdim=True) < 0.4).float()


def found_in(drawn: Tensor) -> dict[str, float]:
    return faults(drawn, bars(), *(line_mask(dark(frames[1:-1])) for frames in (drawn, bars())))


def test_true_frames_have_no_faults() -> None:
    found = found_in(bars())
    assert found == {"lines": 1.0, "worst_lines": 1.0, "still": 0.0, "ink": pytest.approx(1.0)}


def test_one_frame_without_its_bar_is_the_worst() -> None:
    drawn = bars()
    drawn[3] = 0.8
    found = found_in(drawn)
    assert found["worst_lines"] == 0 and found["lines"] == pytest.approx(13 / 14)


def test_lines_may_be_off_by_a_pixel() -> None:
    assert found_in(bars().roll(1, dims=-1))["worst_lines"] == 1.0
    assert found_in(bars().roll(2, dims=-1))["worst_lines"] == pytest.approx(0.75)


def test_only_still_pixels_of_the_middle_frame_count_as_background() -> None:
    drawn = bars()
    drawn[MIDDLE, 1, 16:] += 10 / 255
    drawn[:, :, :16] = 0.5
    still = (32 * 64 - 16 * (4 + FRAMES - 1)) / 64
    assert found_in(drawn)["still"] > 0
    drawn[:, :, :16] = bars()[:, :, :16]
    assert found_in(drawn)["still"] == pytest.approx(10 * 16 / still, rel=1e-4)


def test_ink_fades() -> None:
    drawn = 0.5 + bars() / 2
    assert found_in(drawn)["ink"] == pytest.approx(0.5)
