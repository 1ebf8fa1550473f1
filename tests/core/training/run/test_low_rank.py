"""LoRA: beside a model, in a file, and merged."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from small_training import MODEL
from torch import Tensor

from tooncrafter_core.files.weight_file import CheckpointError
from tooncrafter_core.models.unet.context import CrossContext
from tooncrafter_core.models.unet.unet import UNet
from tooncrafter_core.training.run.low_rank import LoRA, merge, read_lora, to_tensors

RANK = 3


def new_unet(width: int = MODEL.unet.model_channels) -> UNet:
    torch.manual_seed(0)
    return UNet(replace(MODEL.unet, model_channels=width)).eval().requires_grad_(False)


def drawn_lora(unet: UNet, seed: int) -> LoRA:
    """Trained, as it were: no factor is zero any more."""
    lora = LoRA(unet, RANK, ("fps_embedding",)).requires_grad_(False)
    generator = torch.Generator().manual_seed(seed)
    for parameter in lora.parameters():
        parameter.copy_(torch.randn(parameter.shape, generator=generator) * 0.1)
    return lora


@torch.no_grad()
def predicted(unet: UNet) -> Tensor:
    generator = torch.Generator().manual_seed(1)
    x = torch.randn(1, 8, 4, 4, 4, generator=generator)
    text, image = torch.randn(1, 77, 16, generator=generator), torch.randn(1, 4, 16, 16, generator=generator)
    context = CrossContext(text, image)
    return unet(x, torch.tensor([500]), torch.tensor([24]), context)


def test_a_new_one_changes_nothing_and_a_trained_one_can_be_left_out() -> None:
    unet = new_unet()
    before = predicted(unet)
    lora = LoRA(unet, RANK)
    assert torch.equal(predicted(unet), before)
    torch.nn.init.ones_(lora.branches[-1][1].weight)  # type: ignore[index]
    assert not torch.allclose(predicted(unet), before, rtol=1e-3)
    with lora.left_out():
        assert torch.equal(predicted(unet), before)
    assert not torch.allclose(predicted(unet), before, rtol=1e-3)


def test_a_merged_file_does_what_the_layers_beside_do(tmp_path: Path) -> None:
    """For linear layers and for convolutions over lines, pictures (strided too) and frames."""
    unet, other = new_unet(), new_unet()
    plain = predicted(unet)
    lora = drawn_lora(unet, seed=1)
    save_file(to_tensors(lora.factors()), tmp_path / "lora.safetensors")
    merge(other, read_lora(tmp_path / "lora.safetensors"))
    assert (predicted(unet) - plain).norm() > 0.05 * plain.norm()
    torch.testing.assert_close(predicted(other), predicted(unet), rtol=1e-3, atol=1e-4)


def test_names_ranks_and_alpha() -> None:
    unet = new_unet()
    tensors = to_tensors(drawn_lora(unet, seed=1).factors())
    layers = {name.rsplit(".", 1)[0] for name, weight in unet.named_parameters() if weight.ndim > 1}
    spared = {name for name in layers if name.startswith("fps_embedding.")}
    assert len(spared) == 2
    ends = ("lora_up.weight", "lora_down.weight", "alpha")
    assert tensors.keys() == {f"diffusion_model.{name}.{end}" for name in layers - spared for end in ends}
    assert {int(tensor) for name, tensor in tensors.items() if name.endswith("alpha")} == {RANK}
    assert LoRA(new_unet(), 1000).factors()["out.2"].down.shape == (4, 32, 3, 3), "a rank above the layer's own"


def test_two_of_them_joined_are_both_merged() -> None:
    unet = new_unet()
    first, second = (drawn_lora(unet, seed).factors() for seed in (1, 2))
    for name, factors in first.items():
        expected = factors.change() + second[name].change()
        torch.testing.assert_close(factors.joined(second[name]).change(), expected, rtol=1e-4, atol=1e-5)


def test_a_file_of_another_strength(tmp_path: Path) -> None:
    """Twice the alpha is twice the change."""
    tensors = to_tensors(drawn_lora(new_unet(), seed=1).factors())
    save_file(tensors, tmp_path / "once.safetensors")
    twice = {name: tensor * 2 if name.endswith(".alpha") else tensor for name, tensor in tensors.items()}
    save_file(twice, tmp_path / "twice.safetensors")
    once, doubled = (read_lora(tmp_path / name)["out.2"].change() for name in ("once.safetensors", "twice.safetensors"))
    torch.testing.assert_close(doubled, 2 * once)


def test_other_files_and_other_models_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "lora.safetensors"
    save_file(to_tensors(drawn_lora(new_unet(), seed=1).factors()), path)
    with pytest.raises(CheckpointError, match=r"changes \S+ by \(.*where this model has a weight of"):
        merge(new_unet(width=64), read_lora(path))
    tensors = load_file(path)
    del tensors["diffusion_model.out.2.alpha"]
    save_file(tensors, path)
    with pytest.raises(CheckpointError, match="no LoRA of the training `distil`"):
        read_lora(path)
