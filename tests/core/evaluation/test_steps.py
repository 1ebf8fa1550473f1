"""The table of steps: every model and number of steps is measured, and what the bars are held against."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from random_checkpoint import random_tensors
from safetensors.torch import save_file
from small_training import MODEL
from torch import Tensor

from tooncrafter_core.data.drawn_scenes import random_scene
from tooncrafter_core.evaluation import steps
from tooncrafter_core.evaluation.report import measures
from tooncrafter_core.evaluation.report.subject import TinyModel
from tooncrafter_core.evaluation.report.windows import Window
from tooncrafter_core.evaluation.steps import main, markdown
from tooncrafter_core.settings import Settings
from tooncrafter_core.training.clips.manifest import Clip, write_manifest
from tooncrafter_core.training.run.low_rank import LoRA, to_tensors


def values(distance: float, decibel: float) -> dict[str, float]:
    baselines = {"dissolve": 0.2, "dissolve_psnr": 15.0, "nearest": 0.3, "nearest_psnr": 14.0}
    return {"ours": distance, "ours_psnr": decibel, **baselines}


def test_the_bars_are_held_against_twenty_undistilled_steps() -> None:
    undistilled = {4: values(0.2, 18.0), 20: values(0.1, 20.0)}
    text = markdown(
        {
            "undistilled": undistilled,
            "near": {4: values(0.104, 19.6)},
            "far": {4: values(0.106, 19.6)},
            "dim": {4: values(0.1, 19.4)},
        }
    )
    assert "| undistilled | 2.000 | 2.00 | not met |" in text
    assert "| near | 1.040 | 0.40 | met |" in text
    assert "| far | 1.060 | 0.40 | not met |" in text
    assert "| dim | 1.000 | 0.60 | not met |" in text
    assert "| cross-dissolve |  | 0.2000 | 15.00 |" in text
    assert "bars" not in markdown({"undistilled": {4: values(0.2, 18.0)}})


def test_a_lora_is_merged_into_the_model_that_is_measured(tmp_path: Path) -> None:
    path, lora_path = tmp_path / "model.safetensors", tmp_path / "lora.safetensors"
    save_file(random_tensors(MODEL), path)
    plain = TinyModel(path, None, Settings())
    lora = LoRA(plain.model.unet, rank=2)
    torch.nn.init.ones_(lora.branches[-1][1].weight)  # type: ignore[index]
    save_file(to_tensors(lora.factors()), lora_path)
    distilled = TinyModel(path, None, Settings(), lora_path=lora_path)
    assert distilled.identity != plain.identity
    for name, factors in lora.factors().items():
        weights = [model.model.unet.get_submodule(name).get_parameter("weight").float() for model in (plain, distilled)]
        torch.testing.assert_close(weights[1], weights[0] + factors.change())
        assert torch.equal(*weights) == (name != "out.2")


class Grey:
    """In the place of a model: grey frames, the darker the fewer steps; with a LoRA brighter."""

    def __init__(self, path: Path, sketch_path: None, settings: Settings, lora_path: Path | None = None) -> None:
        self.level = 10 * settings.steps + (50 if lora_path else 0)
        self.identity = f"{settings} {lora_path}"

    def draw(self, window: Window, sketch: Tensor | None = None) -> Tensor:
        return torch.full_like(window.video, self.level)


@pytest.fixture
def command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., list[str]]:
    """A data set of one held-out clip; gives the command line."""
    (tmp_path / "clip").mkdir()
    for number, frame in enumerate(random_scene(np.random.default_rng(0)).clip()):
        Image.fromarray(frame).save(tmp_path / "clip" / f"{number:02}.png")
    clip = Clip(tmp_path / "clip", 24.0, "", "held_out", "a", "drawn", 9.0)
    write_manifest(tmp_path / "manifest.jsonl", [clip])
    (tmp_path / "weights.pth").write_bytes(b"weights")
    monkeypatch.setattr(measures, "load_perceptual", lambda path: lambda a, b: (a - b).square().mean(dim=(1, 2, 3)))
    monkeypatch.setattr(steps, "TinyModel", Grey)

    def line(*more: str) -> list[str]:
        files = ["--data", str(tmp_path / "manifest.jsonl"), "--perceptual", str(tmp_path / "weights.pth")]
        return ["model.safetensors", *files, "--out", str(tmp_path / "out"), "--steps", "4", "20", *more]

    return line


def test_every_model_with_every_number_of_steps(
    command: Callable[..., list[str]], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(steps, "read_lora", lambda path: {})
    assert main(command("--lora", "bright=lora.safetensors")) == 0
    rows = [line.split(" | ") for line in capsys.readouterr().out.splitlines() if "dissolve" not in line]
    found = {(row[0], row[1]): row[2:] for row in rows if len(row) == 4 and row[1].isdigit()}
    assert found.keys() == {(name, count) for name in ("| undistilled", "| bright") for count in ("4", "20")}
    assert len({tuple(row) for row in found.values()}) == 4


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (["--lora", "lora.safetensors"], "cannot read --lora lora.safetensors; expected NAME=FILE"),
        (["--lora", "a=nope.safetensors"], "nope.safetensors; check the path"),
        (["--lora", "a=one", "a=two"], "two models are called a; give each --lora a name of its own"),
        (["--lora", "undistilled=one"], "two models are called undistilled"),
        (["--steps", "4", "2000"], "steps is 2000; expected 1 to 1000"),
        (["--eta", "nan"], "eta is nan; expected 0 to 1"),
    ],
    ids=str,
)
def test_mistakes_are_told_before_anything_is_measured(
    more: list[str], message: str, command: Callable[..., list[str]], capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    assert main(command(*more)) == 2
    assert message in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
