"""The sketch encoder's training."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from accelerate import Accelerator
from small_training import FRAMES, MODEL, SIDE, Workshop, make, run, write_start
from torch import Tensor

from tooncrafter_core import read_checkpoint
from tooncrafter_core.models.config import ModelConfig, SketchConfig
from tooncrafter_core.training.clips.segments import collate_segments
from tooncrafter_core.training.run.engine import Run
from tooncrafter_core.training.run.task import Task
from tooncrafter_core.training.tasks.sketch import SketchPlayer


def sketch_player(task: Task) -> SketchPlayer:
    player = task.players["sketch"]
    assert isinstance(player, SketchPlayer)
    return player


@torch.enable_grad()
def test_the_encoder_moves_and_the_denoiser_does_not(wider: Workshop, tmp_path: Path) -> None:
    settings = wider.settings("sketch", tmp_path, save_every=9, sample_every=9)
    task = make(settings)
    player = sketch_player(task)
    before = {name: tensor.detach().clone() for name, tensor in player.state_dict().items()}
    Run(task, settings, Accelerator(cpu=True)).go()
    moved = {name for name, tensor in player.state_dict().items() if not torch.equal(tensor, before[name])}
    assert moved == {f"encoder.{name}" for name, _ in player.encoder.named_parameters()}
    assert all(parameter.grad is None for parameter in player.denoiser.parameters())


def config_of(channels: int) -> SketchConfig:
    return SketchConfig(
        in_channels=4,
        model_channels=channels,
        channel_mult=(1, 1),
        res_blocks=1,
        attention_levels=(True, True),
        head_channels=16,
        context_dim=16,
        hint_channels=1,
        hint_widths=(4,) * 7,
    )


def test_the_checkpoint(workshop: Workshop, wider: Workshop, tmp_path: Path) -> None:
    for channels, files in ((32, workshop), (64, wider)):
        folder = tmp_path / str(channels)
        checkpoint = read_checkpoint(run(files.settings("sketch", folder, steps=1, save_every=9, sample_every=9)))
        assert checkpoint.parts == ["sketch"]
        assert checkpoint.config.sketch == config_of(channels)


def test_heads_that_a_checkpoint_would_not_tell_are_refused(workshop: Workshop, tmp_path: Path) -> None:
    write_start(tmp_path / "start.safetensors", replace(MODEL, unet=replace(MODEL.unet, head_channels=32)))
    with pytest.raises(ValueError, match=r"sketch\.head_channels is 32, which does not show .* read as 16"):
        make(workshop.settings("sketch", tmp_path, start=tmp_path / "start.safetensors"))


def test_unguided_frames_have_no_lines(workshop: Workshop, tmp_path: Path) -> None:
    task = make(workshop.settings("sketch", tmp_path, batch=2))
    player, hints = sketch_player(task), list[Tensor]()
    player.encoder.register_forward_pre_hook(lambda encoder, arguments: hints.append(arguments[1]))
    batch = collate_segments([task.draws()[n] for n in range(2)])
    assert batch.lines.shape == (2, 1, FRAMES, SIDE, SIDE) and batch.lines.max() > 0.2
    batch = batch._replace(lines=torch.rand(batch.lines.shape))
    for seed in range(12):
        player(batch, torch.Generator().manual_seed(seed), 0)
    guided = set()
    for row, drawn in ((row, hint[row]) for hint in hints for row in range(2)):
        chosen = tuple(at for at in range(FRAMES) if drawn[:, at].any())
        assert chosen and chosen[0] > 0 and chosen[-1] < FRAMES - 1, "a keyframe is guided"
        assert all(torch.equal(drawn[:, at], batch.lines[row, :, at]) for at in chosen)
        guided.add(chosen)
    assert {(1,), (1, 2)} <= guided <= {(1,), (2,), (1, 2)}


def test_an_encoder_of_other_sizes_is_no_beginning(workshop: Workshop, tmp_path: Path) -> None:
    begin = tmp_path / "begin.safetensors"
    write_start(begin, ModelConfig(sketch=config_of(32)))
    with pytest.raises(ValueError, match=r"begin\.safetensors cannot be begun with: input_hint_block.*hint_widths"):
        make(workshop.settings("sketch", tmp_path / "run", begin=begin, hint_widths=[8] * 7))


@pytest.mark.parametrize("name", ["sketch", "joint"])
@pytest.mark.parametrize(
    ("levels", "message"),
    [(1, r"\d+ missing in the file: input_blocks\.2"), (3, r"\d+ in the file only: input_blocks\.4")],
)
def test_an_encoder_of_other_layers_is_no_beginning(
    levels: int, message: str, name: str, workshop: Workshop, tmp_path: Path
) -> None:
    begin = tmp_path / "begin.safetensors"
    other = replace(config_of(32), channel_mult=(1,) * levels, attention_levels=(True,) * levels)
    write_start(begin, ModelConfig(sketch=other))
    with pytest.raises(ValueError, match=rf"begin\.safetensors cannot be begun with: {message}"):
        make(workshop.settings(name, tmp_path / "run", begin=begin))


def test_the_first_loss_is_the_denoisers(workshop: Workshop, tmp_path: Path) -> None:
    """A new encoder adds nothing."""
    player = sketch_player(task := make(workshop.settings("sketch", tmp_path)))
    batch = collate_segments([task.draws()[0]])
    with_sketch = player(batch, torch.Generator().manual_seed(1), 0).total
    without = player.denoiser(batch, torch.Generator().manual_seed(1), 0).total
    assert torch.equal(with_sketch, without)
