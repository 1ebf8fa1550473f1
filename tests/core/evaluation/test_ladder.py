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
from tooncrafter_core.evaluation.report.ladder import Rungs, denoising_errors, frame_by_frame, markdown
from tooncrafter_core.evaluation.report.measures import Bench
from tooncrafter_core.evaluation.report.store import Renders, Results
from tooncrafter_core.evaluation.report.subject import TinyModel
from tooncrafter_core.evaluation.report.windows import Window
from tooncrafter_core.models.config import LATENT_SCALE
from tooncrafter_core.sampling.schedule import Schedule
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
    text = markdown({"drawn": [values]})
    assert f"{values['whole']:.4f}" in text and f"{values['latent error at 100']:.4f}" in text


def test_latent_errors_of_a_denoiser_that_says_nothing(tmp_path: Path, window: Window) -> None:
    """With v = 0 the clean latents are alpha z / s: their error is (1 - abar)^2 x^2 + abar (1 - abar) / s^2."""
    tensors = random_tensors(MODEL)
    for name in ("weight", "bias"):
        tensors[f"model.diffusion_model.out.2.{name}"].zero_()
    save_file(tensors, tmp_path / "silent.safetensors")
    model = TinyModel(tmp_path / "silent.safetensors", None, Settings(steps=2)).model
    with torch.inference_mode(), model.at_work(model.autoencoder):
        latents = model.autoencoder.encode_keyframes(window.frames * 2 - 1).latents[1:-1] * LATENT_SCALE
    power = float(latents.square().mean())
    errors = denoising_errors(model, window)
    assert errors["latent error at 999"] == pytest.approx(power, rel=1e-4)
    schedule = Schedule.published()
    abar, rescale = float(schedule.alphas_bar[300]), float(schedule.rescale[300])
    expected = (1 - abar) ** 2 * power + abar * (1 - abar) / rescale**2
    assert errors["latent error at 300"] == pytest.approx(expected, rel=0.2), "up to the noise that was drawn"


def test_frames_are_decoded_each_alone(rungs: Rungs, window: Window) -> None:
    whole = frame_by_frame(rungs.subject.model, window.frames)
    torch.testing.assert_close(whole[2:3], frame_by_frame(rungs.subject.model, window.frames[2:3]), atol=1e-2, rtol=0)
