"""Checkpoints to files."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from file_limits import files_of_at_most
from random_checkpoint import random_tensors
from safetensors.torch import load_file
from small_training import MODEL

from tooncrafter_core.files.checkpoint import Checkpoint
from tooncrafter_core.files.whole import written_whole
from tooncrafter_core.models.config import ModelConfig
from tooncrafter_core.models.layers import Layers
from tooncrafter_core.training.run.export import check_sizes, published, write_checkpoint


def test_published_names() -> None:
    """A part's tensors get the names of the published file, all of them."""
    config = replace(MODEL, autoencoder=replace(MODEL.autoencoder, dual_reference=True, reference_head_channels=4))
    wanted = random_tensors(config)
    blank = Checkpoint(Path("none"), {}, config)
    tensors = {}
    for part in ("unet", "autoencoder", "projector", "vision"):
        tensors |= published(part, blank.build(part, Layers()))
    assert tensors.keys() <= wanted.keys()
    assert all(tensors[name].shape == wanted[name].shape for name in tensors)
    assert "first_stage_model.decoder.conv_out.time_mix_conv.weight" in tensors
    assert "embedder.model.visual.transformer.resblocks.0.attn.in_proj_weight" in tensors
    assert "model.diffusion_model.init_attn.0.proj_in.weight" in tensors
    assert "image_proj_model.latents" in tensors


def test_any_memory_layout_can_be_written(tmp_path: Path) -> None:
    tensor = torch.rand(3, 4, 5, 6).to(memory_format=torch.channels_last)
    write_checkpoint({"a": tensor, "b": torch.rand(4, 5).T}, tmp_path / "new" / "file.safetensors")
    assert torch.equal(load_file(tmp_path / "new" / "file.safetensors")["a"], tensor)
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["file.safetensors"]


def test_a_file_is_whole_or_the_one_before(tmp_path: Path) -> None:
    path = tmp_path / "file.txt"
    path.write_text("before")
    with pytest.raises(RuntimeError), written_whole(path) as unfinished:
        unfinished.write_text("half")
        raise RuntimeError
    assert path.read_text() == "before"
    with written_whole(path) as unfinished:
        unfinished.write_text("whole")
        assert path.read_text() == "before"
    assert path.read_text() == "whole"
    assert [file.name for file in tmp_path.iterdir()] == ["file.txt"]


def test_a_full_disk_is_told_with_the_file(tmp_path: Path) -> None:
    """PyTorch and safetensors have errors of their own for it, which name no file."""
    tensors, path = {"a": torch.rand(9999)}, tmp_path / "file"
    path.write_text("before")
    with files_of_at_most(4096):
        with pytest.raises(OSError, match=rf"cannot write {path}: File too large .* MiB are free"):
            write_checkpoint(tensors, path)
        with pytest.raises(OSError, match=rf"cannot write {path}: File too large"), written_whole(path) as unfinished:
            torch.save(tensors, unfinished)
    assert [(file.name, file.read_text()) for file in tmp_path.iterdir()] == [("file", "before")]


def test_sizes_that_do_not_show_are_refused() -> None:
    tensors = random_tensors(MODEL)
    check_sizes(tensors, MODEL)
    with pytest.raises(ValueError, match=r"text\.heads is 2, which does not show in a checkpoint: .* read as 1"):
        check_sizes(tensors, replace(MODEL, text=replace(MODEL.text, heads=2)))
    with pytest.raises(ValueError, match=r"vision\.heads is 4"):
        check_sizes(tensors, ModelConfig(vision=replace(MODEL.vision, heads=4)))
