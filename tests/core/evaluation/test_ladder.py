"""The ladder: what each part of a model loses on its way, for a model of random weights."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from random_checkpoint import random_tensors
from safetensors.torch import save_file
from small_training import MODEL
from torch import Tensor

from tooncrafter_core.data.drawn_scenes import random_scene
from tooncrafter_core.evaluation.report.ladder import TIMESTEPS, Rungs, frame_by_frame, markdown
from tooncrafter_core.evaluation.report.measures import Bench
from tooncrafter_core.evaluation.report.store import Renders, Results
from tooncrafter_core.evaluation.report.subject import TinyModel
from tooncrafter_core.evaluation.report.windows import Window
from tooncrafter_core.settings import Settings
from tooncrafter_core.sketches.lines import extract_lines


def distance(a: Tensor, b: Tensor) -> Tensor:
    return (a - b).square().mean(dim=(1, 2, 3))


@pytest.fixture
def rungs(tmp_path: Path) -> Rungs:
    save_file(random_tensors(MODEL), tmp_path / "model.safetensors")
    bench = Bench(distance, "mse", extract_lines, Results(tmp_path / "r.jsonl"), Renders(tmp_path / "renders"))
    return Rungs(bench, TinyModel(tmp_path / "model.safetensors", None, Settings(steps=2, guidance_scale=1.0)))


@pytest.fixture
def window() -> Window:
    clip = random_scene(np.random.default_rng(0)).clip()[:4, ::2, ::4]
    video = torch.from_numpy(clip.copy()).permute(0, 3, 1, 2)
    return Window("a", "a", "ball", 24, 8.0, seed=1, video=video)


def test_every_rung_is_measured(rungs: Rungs, window: Window) -> None:
    values = rungs.values(window)
    for name in ("image", "references", "whole"):
        assert values[name] > 0 and 0 < values[f"{name}_psnr"] < 60
    errors = [values[f"latent error at {t}"] for t in TIMESTEPS]
    assert errors[0] < errors[-1], "a random denoiser answers with noise: the more of it there is, the worse"
    text = markdown({"drawn": [values]})
    assert f"{values['whole']:.4f}" in text and f"{errors[0]:.4f}" in text


def test_frames_are_decoded_each_alone(rungs: Rungs, window: Window) -> None:
    whole = frame_by_frame(rungs.subject.model, window.frames)
    torch.testing.assert_close(whole[2:3], frame_by_frame(rungs.subject.model, window.frames[2:3]), atol=1e-2, rtol=0)
