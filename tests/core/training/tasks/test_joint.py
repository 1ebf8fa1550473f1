"""Denoiser and sketch encoder trained together."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from accelerate import Accelerator
from small_training import Workshop, make, run

from tooncrafter_core import read_checkpoint
from tooncrafter_core.training.clips.stream import ClipStream
from tooncrafter_core.training.run.engine import Run
from tooncrafter_core.training.settings.run import RunSettings
from tooncrafter_core.training.tasks import autoencoder, denoiser, joint
from tooncrafter_core.training.tasks.joint import SKETCH_CHECKPOINT, JointPlayer


@torch.enable_grad()
def test_both_move_and_what_is_written_is_both(wider: Workshop, tmp_path: Path) -> None:
    settings = wider.settings("joint", tmp_path, save_every=9, sample_every=9, steps=3, ema=0.0)
    task = make(settings)
    player = task.players["joint"]
    before = {name: tensor.detach().clone() for name, tensor in player.named_parameters()}
    denoiser = read_checkpoint(Run(task, settings, Accelerator(cpu=True)).go())
    assert {name for name, tensor in player.named_parameters() if torch.equal(tensor, before[name])} == set()
    encoder = read_checkpoint(tmp_path / SKETCH_CHECKPOINT)
    assert not denoiser.missing_parts and denoiser.config.sketch is None
    assert encoder.parts == ["sketch"]
    assert isinstance(player, JointPlayer)
    for name, tensor in encoder.load("sketch").state_dict().items():
        assert torch.equal(tensor, player.sketching.encoder.state_dict()[name])
    for name, tensor in denoiser.load("unet").state_dict().items():
        assert torch.equal(tensor, player.sketching.denoiser.unet.state_dict()[name])


@torch.enable_grad()
def test_sketches_are_of_their_own_clips(workshop: Workshop, tmp_path: Path) -> None:
    """The free half has no lines, so that the encoder does not speak there; kinds of clips are kept apart."""
    task = make(workshop.settings("joint", tmp_path, batch=2))
    batch = task.collate([task.draws()[n] for n in range(2)])
    assert batch.free.lines.shape == (2,)
    assert batch.guided.lines.max() > 0.2
    free, guided = (make(workshop.settings("joint", tmp_path, **one)) for one in ({}, {"guided_domains": ["film"]}))
    assert torch.equal(free.draws()[0].free.latents, guided.draws()[0].free.latents)
    assert not torch.equal(free.draws()[0].guided.latents, guided.draws()[0].guided.latents)


@torch.enable_grad()
def test_the_loss_is_that_of_both(workshop: Workshop, tmp_path: Path) -> None:
    """A new encoder adds nothing, so that the guided half's first loss is the denoiser's too."""
    player = (task := make(workshop.settings("joint", tmp_path))).players["joint"]
    assert isinstance(player, JointPlayer)
    batch = task.collate([task.draws()[0]])
    loss = player(batch, torch.Generator().manual_seed(1), 0)
    generator = torch.Generator().manual_seed(1)
    alone = [player.sketching.denoiser(half, generator, 0).total for half in (batch.free, batch.guided)]
    assert torch.allclose(loss.total, sum(alone), rtol=1e-6)
    assert loss.parts.keys() == {"v_mse", "guided_v_mse"}


def test_a_place_that_is_taken_is_told_before_anything_is_encoded(workshop: Workshop, tmp_path: Path) -> None:
    (tmp_path / SKETCH_CHECKPOINT).mkdir()
    with pytest.raises(ValueError, match=r"sketch\.safetensors is a folder"):
        run(workshop.settings("joint", tmp_path))
    assert not (tmp_path / "cache").exists()


def test_a_state_of_another_training_is_told_before_anything_is_encoded(workshop: Workshop, tmp_path: Path) -> None:
    run(workshop.settings("joint", tmp_path, steps=1))
    with pytest.raises(ValueError, match=r"state\.pt is of a training of other tensors"):
        run(workshop.settings("joint", tmp_path, hint_widths=[5] * 7, cache=str(tmp_path / "other")))
    assert not (tmp_path / "other").exists()


def test_each_half_reads_its_list_of_clips_once(
    workshop: Workshop, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    read: list[tuple[str, ...]] = []

    def clip_stream(settings: RunSettings, frames: int, processes: int) -> ClipStream:
        read.append(settings.domains)
        return autoencoder.clip_stream(settings, frames, processes)

    for module in (joint, denoiser):
        monkeypatch.setattr(module, "clip_stream", clip_stream, raising=False)
    make(workshop.settings("joint", tmp_path, guided_domains=["film"])).draws()
    assert read == [("toon",), ("film",)]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"guided_domains": ["curved"]}, "no clip to train on in the domains curved"),
        ({"lines": __file__}, r"test_joint\.py is not a weight file"),
    ],
    ids=str,
)
def test_what_cannot_be_guided_is_told_before_anything_is_encoded(
    changes: dict[str, Any], message: str, workshop: Workshop, tmp_path: Path
) -> None:
    with pytest.raises(ValueError, match=message):
        make(workshop.settings("joint", tmp_path, **changes))
    assert not (tmp_path / "cache").exists()
