"""The picture of a training's losses."""

from __future__ import annotations

from pathlib import Path

import pytest
from draw.losses import loss_curves


def test_a_point_is_the_mean_since_the_point_before(tmp_path: Path) -> None:
    rows = [f"{step},{step},{-step},0.5" for step in range(1, 101)]
    metrics = tmp_path / "metrics.csv"
    metrics.write_text("\n".join(["step,v_mse,guided_v_mse,gradient", *rows]))
    assert loss_curves(metrics) == {
        "v_mse": {25: 13.0, 50: 38.0, 100: 75.5},
        "guided_v_mse": {25: -13.0, 50: -38.0, 100: -75.5},
    }


def test_a_decoders_losses_are_curves_too(tmp_path: Path) -> None:
    metrics = tmp_path / "metrics.csv"
    metrics.write_text("step,l1,perceptual,decoder_gradient,skipped\n1,0.5,0.1,2,0\n")
    assert loss_curves(metrics) == {"l1": {1: 0.5}, "perceptual": {1: 0.1}}


@pytest.mark.parametrize("content", ["", "step,v_mse\n", "step,gradient\n1,0.5\n"])
def test_a_file_without_such_losses_is_refused(content: str, tmp_path: Path) -> None:
    metrics = tmp_path / "metrics.csv"
    metrics.write_text(content)
    with pytest.raises(ValueError, match=r"has no step with a column that ends in mse, l1, perceptual"):
        loss_curves(metrics)


def test_a_line_that_is_being_written_is_left_out(tmp_path: Path) -> None:
    metrics = tmp_path / "metrics.csv"
    metrics.write_text("step,v_mse,gradient\n1,0.5,1\n2,0.")
    assert loss_curves(metrics) == {"v_mse": {1: 0.5}}


@pytest.mark.parametrize("content", ["v_mse\n1\n", "step,v_mse\n1,\n", "step,v_mse\n1,nan\n", "step,v_mse\n0,0.5\n"])
def test_a_table_that_cannot_be_drawn_is_refused_by_name(content: str, tmp_path: Path) -> None:
    metrics = tmp_path / "metrics.csv"
    metrics.write_text(content)
    with pytest.raises(ValueError, match=r"metrics\.csv (is no table|has a step before 1)"):
        loss_curves(metrics)
