"""Stock Load LoRA: a Stable Diffusion 2.x LoRA, and the distilled one that comes with the pack, change the model as
merged weights would."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from comfy_harness.prompts import BUNDLED_LORA, BUNDLED_MODEL, Prompt, interpolation, node
from comfy_harness.server import ROOT, ComfyServer
from results import latents_of
from safetensors.torch import save_file
from torch import Tensor

from tooncrafter_core.files.checkpoint import read_checkpoint
from tooncrafter_core.training.run.export import published, write_checkpoint
from tooncrafter_core.training.run.low_rank import merge, read_lora

TINY = ROOT / "assets" / "tooncrafter-tiny"
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
    write_distilled(folder / "distilled.safetensors")
    models = {
        "checkpoints/model.ckpt": checkpoints[0],
        "checkpoints/distilled.safetensors": folder / "distilled.safetensors",
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


def write_distilled(path: Path) -> None:
    """The small model with its LoRA merged, all in float32."""
    model = read_checkpoint(TINY / "tooncrafter-tiny.safetensors")
    unet = model.load("unet").float()
    merge(unet, read_lora(TINY / "loras" / BUNDLED_LORA))
    whole = {name: tensor.float() for name, tensor in model.tensors.items()}
    write_checkpoint({**whole, **published("unet", unet)}, path)


def with_lora(prompt: Prompt, name: str, strength: float) -> Prompt:
    """The same graph with Load LoRA before the Sampler."""
    inputs = {**prompt["sampler"]["inputs"], "model": ["lora", 0]}
    loader = node("LoraLoaderModelOnly", model=["loader", 0], lora_name=name, strength_model=strength)
    return {**prompt, "lora": loader, "sampler": {**prompt["sampler"], "inputs": inputs}}


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
    found = latents_of(server, with_lora(plain, "style.safetensors", STRENGTH))
    expected, without = latents_of(server, prompt("merged.ckpt")), latents_of(server, plain)
    assert (found - expected).norm() < 1e-4 * expected.norm()
    assert (found - without).norm() > 0.05 * without.norm()
    log = server.log_text()
    assert UNKNOWN in log, "the log does not say which layer was not found"
    assert not any(f"lora_unet_{name}" in log for name in LAYERS)


def test_the_distilled_lora_is_offered_and_is_the_merged_model(server: ComfyServer, drawings: list[str]) -> None:
    """With the pack's own folder among ComfyUI's, in which no other file is."""
    offered = server.object_info()["LoraLoaderModelOnly"]["input"]["required"]["lora_name"][0]
    assert sorted(offered) == ["style.safetensors", BUNDLED_LORA]

    def prompt(checkpoint: str) -> Prompt:
        sizes, sampling = {"width": 64, "height": 64, "frames": 4}, {"steps": 4, "guidance_scale": 1.0, "eta": 0.0}
        made = interpolation(drawings, checkpoint, encode=sizes, sample=sampling, two_pass=False)
        return {name: made[name] for name in made if name not in ("decode", "save")}

    plain = prompt(BUNDLED_MODEL)
    found = latents_of(server, with_lora(plain, BUNDLED_LORA, 1.0))
    expected, without = latents_of(server, prompt("distilled.safetensors")), latents_of(server, plain)
    assert (found - expected).norm() < 0.01 * expected.norm(), "beyond the rounding of float16 weights"
    assert (found - without).norm() > 0.05 * without.norm()
    assert "NOT LOADED diffusion_model." not in server.log_text()


def test_steps_far_from_the_files_own_are_told(server: ComfyServer, drawings: list[str]) -> None:
    """The LoRA's count where there is one; one that is turned off counts as none."""

    def told(steps: int, strength: float, clean_end: bool = True) -> str:
        sizes = {"width": 64, "height": 64, "frames": 2}
        sampling = {"steps": steps, "guidance_scale": 1.0, "clean_end": clean_end}
        made = interpolation(drawings, BUNDLED_MODEL, encode=sizes, sample=sampling, two_pass=False)
        prompt = {name: made[name] for name in made if name not in ("decode", "save")}
        before = len(server.log_text())
        latents_of(server, with_lora(prompt, BUNDLED_LORA, strength))
        return server.log_text()[before:]

    assert f"{BUNDLED_LORA} works best with steps 4; here it is steps 1," in told(1, 1.0)
    assert "works best" not in told(4, 1.0)
    assert f"{BUNDLED_LORA} works best with clean_end on; here it is clean_end off," in told(4, 1.0, clean_end=False)
    assert "tooncrafter-tiny.safetensors works best with steps 2; here it is steps 5," in told(5, 0.0)
