"""Files without CLIP and CLIP_VISION: stock Load CLIP and Load CLIP Vision, with OpenCLIP ViT-H towers, take their
place."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from comfy_harness.prompts import Prompt, interpolation, node
from comfy_harness.server import ROOT, ComfyServer
from random_checkpoint import MODEL, random_tensors
from results import frames_of
from safetensors.torch import save_file
from torch import Tensor

from tooncrafter_core.files.checkpoint import PREFIXES, Checkpoint, to_published_name
from tooncrafter_core.models.config import ModelConfig, TextConfig, VisionConfig
from tooncrafter_core.models.layers import Layers

DRAWN = ROOT / "assets" / "keyframes"
TEXT = TextConfig(width=1024, layers=25, heads=16, feed_forward_dim=4096, context_length=77, vocabulary=49408)
VISION = VisionConfig(width=1280, layers=32, heads=16, feed_forward_dim=5120, image_size=224, patch_size=14)
"""OpenCLIP ViT-H, the only size that the stock loaders know. All but the last of `layers` are made; its text tower has
24."""

ELSEWHERE = {"text": "clip/text.safetensors", "vision": "clip_vision/vision.safetensors"}


def tower(part: str, config: TextConfig | VisionConfig) -> dict[str, Tensor]:
    """A tower of float16 weights, cheaply: many are the same."""
    block = torch.randn(2**16, generator=torch.Generator().manual_seed(3)).half()
    built = Checkpoint(Path("tower"), {}, ModelConfig(**{part: config})).build(part, Layers(device="meta"))
    return {to_published_name(name): _weights(block, meta) for name, meta in built.state_dict().items()}


def _weights(block: Tensor, meta: Tensor) -> Tensor:
    values = block.repeat(-(-meta.numel() // len(block)))[: meta.numel()].view(meta.shape)
    return 1 + 0.1 * values if meta.ndim == 1 else 0.02 * values


def complete(towers: dict[str, dict[str, Tensor]]) -> dict[str, Tensor]:
    """A small model around towers of the full size."""
    small = replace(
        MODEL,
        unet=replace(MODEL.unet, context_dim=TEXT.width),
        projector=replace(MODEL.projector, input_dim=VISION.width, output_dim=TEXT.width),
        text=None,
        vision=None,
    )
    tensors = random_tensors(small)
    for part, weights in towers.items():
        tensors |= {PREFIXES[part] + name: tensor for name, tensor in weights.items()}
    return tensors


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ComfyServer]:
    folder = tmp_path_factory.mktemp("towers")
    head = {"text_projection": torch.zeros(TEXT.width, TEXT.width).half(), "logit_scale": torch.ones(()).half()}
    ends = {"ln_post.weight": torch.ones(VISION.width), "ln_post.bias": torch.zeros(VISION.width)}
    ends["proj"] = torch.zeros(VISION.width, TEXT.width)
    towers = {"text": tower("text", TEXT) | head, "vision": tower("vision", VISION) | ends}
    files = {
        "checkpoints/complete.safetensors": complete(towers),
        "checkpoints/pruned.safetensors": complete({}),
        ELSEWHERE["text"]: towers["text"],
        ELSEWHERE["vision"]: {f"visual.{name}": tensor for name, tensor in towers["vision"].items()},
    }
    for number, tensors in enumerate(files.values()):
        save_file({name: tensor.contiguous() for name, tensor in tensors.items()}, folder / f"{number}.safetensors")
    models = {name: folder / f"{number}.safetensors" for number, name in enumerate(files)}
    with ComfyServer(models=models) as running:
        yield running
    for file in models.values():
        file.unlink()


def graph(server: ComfyServer, checkpoint: str) -> Prompt:
    drawings = [server.upload(DRAWN / name) for name in ("first.png", "last.png")]
    sizes, sampling = {"width": 64, "height": 64, "frames": 3}, {"steps": 2, "guidance_scale": 3.0}
    return interpolation(drawings, checkpoint, encode=sizes, sample=sampling, two_pass=False, text="a ball hops")


def test_stock_towers_do_what_the_file_s_own_do(server: ComfyServer) -> None:
    """But for rounding: what another prompt changes is the measure."""
    own = graph(server, "complete.safetensors")
    pruned = {
        **graph(server, "pruned.safetensors"),
        "clip": node("CLIPLoader", clip_name="text.safetensors", type="stable_diffusion"),
        "seen": node("CLIPVisionLoader", clip_name="vision.safetensors"),
    }
    for name in ("positive", "negative"):
        pruned[name] = {**pruned[name], "inputs": {**pruned[name]["inputs"], "clip": ["clip", 0]}}
    pruned["encode"] = {**pruned["encode"], "inputs": {**pruned["encode"]["inputs"], "clip_vision": ["seen", 0]}}
    other = {**own, "positive": {**own["positive"], "inputs": {**own["positive"]["inputs"], "text": "a grey box"}}}
    expected, found, told_other = (frames_of(server, prompt) for prompt in (own, pruned, other))
    assert (found - expected).abs().mean() < 0.01 * (told_other - expected).abs().mean()
