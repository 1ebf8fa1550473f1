"""Stock Load LoRA: a Stable Diffusion 2.x LoRA changes the spatial layers as merged weights would."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from comfy_harness.prompts import Prompt, interpolation, node
from comfy_harness.server import ROOT, ComfyServer
from results import latents_of
from safetensors.torch import save_file
from torch import Tensor

DRAWN = ROOT / "assets" / "keyframes"
RANK, ALPHA, STRENGTH = 2, 1.0, 0.8
LAYERS = {
    "down_blocks_0_attentions_1_transformer_blocks_0_attn1_to_q": "input_blocks.2.1.transformer_blocks.0.attn1.to_q",
    "down_blocks_1_resnets_0_conv1": "input_blocks.4.0.in_layers.2",
    "mid_block_attentions_0_transformer_blocks_0_attn2_to_k": "middle_block.1.transformer_blocks.0.attn2.to_k",
    "mid_block_resnets_0_conv2": "middle_block.0.out_layers.3",
    "mid_block_resnets_1_conv1": "middle_block.3.in_layers.2",
    "up_blocks_0_upsamplers_0_conv": "output_blocks.2.1.conv",
    "up_blocks_1_upsamplers_0_conv": "output_blocks.5.3.conv",
    "up_blocks_3_attentions_2_transformer_blocks_0_ff_net_2": "output_blocks.11.1.transformer_blocks.0.ff.net.2",
}
"""Layers of a LoRA file, and what they are called in ours: before, in and after what temporal layers moved."""
UNKNOWN = "lora_unet_down_blocks_7_attentions_0_proj_in"


@pytest.fixture(scope="module")
def server(checkpoints: tuple[Path, Path], tmp_path_factory: pytest.TempPathFactory) -> Iterator[ComfyServer]:
    """With the LoRA, and with a checkpoint that it is merged into."""
    folder = tmp_path_factory.mktemp("lora")
    weights = torch.load(checkpoints[0], weights_only=True)["state_dict"]
    lora, merged = draw_lora(weights)
    save_file(lora, folder / "style.safetensors")
    torch.save({"state_dict": merged}, folder / "merged.ckpt")
    models = {
        "checkpoints/model.ckpt": checkpoints[0],
        "checkpoints/merged.ckpt": folder / "merged.ckpt",
        "loras/style.safetensors": folder / "style.safetensors",
    }
    with ComfyServer(models=models, arguments=("--cpu",)) as running:
        yield running


@pytest.fixture(scope="module")
def drawings(server: ComfyServer) -> list[str]:
    return [server.upload(DRAWN / name) for name in ("first.png", "last.png")]


def draw_lora(weights: dict[str, Tensor]) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """A LoRA in the common (kohya) form for some layers and one that does not exist; and the weights with it."""
    generator = torch.Generator().manual_seed(0)
    lora, merged = {}, dict(weights)
    for name, ours in LAYERS.items():
        key = f"model.diffusion_model.{ours}.weight"
        weight = weights[key]
        up = torch.randn(len(weight), RANK, *[1] * (weight.ndim - 2), generator=generator)
        down = torch.randn(RANK, *weight.shape[1:], generator=generator)
        difference = (up.flatten(1) @ down.flatten(1)).view_as(weight)
        scale = 2 * weight.norm() / difference.norm()
        lora |= entries(f"lora_unet_{name}", up * scale, down)
        merged[key] = weight + STRENGTH * ALPHA / RANK * scale * difference
    return lora | entries(UNKNOWN, torch.randn(4, RANK), torch.randn(RANK, 4)), merged


def entries(name: str, up: Tensor, down: Tensor) -> dict[str, Tensor]:
    return {
        f"{name}.lora_up.weight": up,
        f"{name}.lora_down.weight": down,
        f"{name}.alpha": torch.tensor(ALPHA),
    }


def test_a_lora_is_merged_into_the_spatial_layers(server: ComfyServer, drawings: list[str]) -> None:
    def prompt(checkpoint: str) -> Prompt:
        sizes, sampling = {"width": 64, "height": 64, "frames": 3}, {"steps": 2, "guidance_scale": 2.0}
        made = interpolation(drawings, checkpoint, encode=sizes, sample=sampling, two_pass=False)
        return {name: made[name] for name in made if name not in ("decode", "save")}

    plain = prompt("model.ckpt")
    inputs = {**plain["sampler"]["inputs"], "model": ["lora", 0]}
    loader = node("LoraLoaderModelOnly", model=["loader", 0], lora_name="style.safetensors", strength_model=STRENGTH)
    found = latents_of(server, {**plain, "lora": loader, "sampler": {**plain["sampler"], "inputs": inputs}})
    expected, without = latents_of(server, prompt("merged.ckpt")), latents_of(server, plain)
    assert (found - expected).norm() < 1e-4 * expected.norm()
    assert (found - without).norm() > 0.05 * without.norm()
    log = server.log_text()
    assert UNKNOWN in log, "the log does not say which layer was not found"
    assert not any(f"lora_unet_{name}" in log for name in LAYERS)
