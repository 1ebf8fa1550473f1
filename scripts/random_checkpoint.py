"""A small ToonCrafter with random weights in the layout of the published files, for tests and benchmarks, which import
it; there is nothing to run."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor, nn

from tooncrafter_core.files.checkpoint import PREFIXES, Checkpoint, to_published_name
from tooncrafter_core.models.config import (
    AutoencoderConfig,
    ModelConfig,
    ProjectorConfig,
    SketchConfig,
    TextConfig,
    UNetConfig,
    VisionConfig,
)
from tooncrafter_core.models.layers import Layers

LEVELS = (1, 2, 4, 4)
ATTENDS = (True, True, True, False)

MODEL = ModelConfig(
    unet=UNetConfig(
        in_channels=8,
        out_channels=4,
        model_channels=32,
        channel_mult=LEVELS,
        res_blocks=2,
        attention_levels=ATTENDS,
        head_channels=16,
        context_dim=32,
    ),
    autoencoder=AutoencoderConfig(
        channels=32,
        channel_mult=LEVELS,
        res_blocks=2,
        latent_channels=4,
        dual_reference=True,
        reference_head_channels=8,
    ),
    projector=ProjectorConfig(
        frames=16, width=64, depth=2, heads=4, inner_dim=64, feed_forward_dim=256, input_dim=64, output_dim=32
    ),
    text=TextConfig(width=32, layers=3, heads=2, feed_forward_dim=128, context_length=77, vocabulary=49408),
    vision=VisionConfig(width=64, layers=3, heads=4, feed_forward_dim=256, image_size=224, patch_size=32),
)
"""Sizes of the small model: the published shape, narrower and with shorter towers."""

DYNAMICRAFTER = replace(MODEL, autoencoder=replace(MODEL.autoencoder, dual_reference=False))
"""The same with the plain image decoder, as DynamiCrafter's interpolation checkpoint has it."""

SIXTEEN = replace(
    MODEL,
    unet=replace(MODEL.unet, in_channels=32, out_channels=16),
    autoencoder=replace(MODEL.autoencoder, latent_channels=16),
)
"""The same with latents of 16 channels."""

SKETCH = ModelConfig(
    sketch=SketchConfig(
        in_channels=4,
        model_channels=32,
        channel_mult=LEVELS,
        res_blocks=2,
        attention_levels=ATTENDS,
        head_channels=16,
        context_dim=32,
        hint_channels=1,
        hint_widths=(16, 16, 32, 32, 96, 96, 256),
    )
)
"""Sizes of its sketch encoder."""

_UNINITIALISED = ("mix_factor", "latents", "positional_embedding", "class_embedding")
_SCHEDULE = (
    "betas",
    "alphas_cumprod",
    "alphas_cumprod_prev",
    "sqrt_alphas_cumprod",
    "sqrt_one_minus_alphas_cumprod",
    "log_one_minus_alphas_cumprod",
    "sqrt_recip_alphas_cumprod",
    "sqrt_recipm1_alphas_cumprod",
    "posterior_variance",
    "posterior_log_variance_clipped",
    "posterior_mean_coef1",
    "posterior_mean_coef2",
)


def random_tensors(config: ModelConfig, seed: int = 0) -> dict[str, Tensor]:
    """Every tensor of a published file of these sizes, the unused ones too, under its published name.

    Weights are float16. They are drawn as PyTorch draws the weights of new layers, so that activations neither
    grow nor vanish; what PyTorch would leave at 0 or 1 is random as well.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        blank = Checkpoint(Path("random"), {}, _with_last_text_block(config))
        tensors: dict[str, Tensor] = {}
        for part in blank.parts:
            tensors |= _named(PREFIXES[part], blank.build(part, Layers()))
        if config.text is not None:
            tensors |= _contrastive_head("cond_stage_model.model.", config.text.width)
        if config.text is not None and config.vision is not None:
            tensors |= _unused_by_vision(blank, config.text, config.vision)
        if config.unet is not None:
            tensors |= {name: torch.rand(1000) for name in _SCHEDULE} | {"scale_arr": torch.rand(1400)}
    return tensors


def write_random_checkpoints(folder: Path) -> tuple[Path, Path]:
    """Write `model.ckpt` and `sketch_encoder.ckpt` as they are published; returns their paths."""
    folder.mkdir(parents=True, exist_ok=True)
    model, sketch = folder / "model.ckpt", folder / "sketch_encoder.ckpt"
    torch.save({"state_dict": random_tensors(MODEL)}, model)
    torch.save(random_tensors(SKETCH, seed=1), sketch)
    return model, sketch


def _with_last_text_block(config: ModelConfig) -> ModelConfig:
    """The text tower makes one block fewer than the file has."""
    return config if config.text is None else replace(config, text=replace(config.text, layers=config.text.layers + 1))


def _named(prefix: str, model: nn.Module) -> dict[str, Tensor]:
    """A new model's tensors under their published names."""
    randomise(model)
    return {prefix + to_published_name(name): tensor.detach().half() for name, tensor in model.state_dict().items()}


@torch.no_grad()
def randomise(model: nn.Module) -> None:
    """Make random what PyTorch leaves at 0 or 1."""
    for name, parameter in model.named_parameters():
        if name.rpartition(".")[2] in _UNINITIALISED:
            parameter.normal_(std=parameter.shape[-1] ** -0.5)
        if name.startswith("input_hint_block.") and name.endswith("weight"):
            nn.init.kaiming_normal_(parameter)  # eight convolutions in a row, no norm: a sketch must come through
    for norm in model.modules():
        if isinstance(norm, (nn.GroupNorm, nn.LayerNorm)):
            norm.weight += 0.1 * torch.randn_like(norm.weight)
            norm.bias += 0.1 * torch.randn_like(norm.bias)


def _contrastive_head(prefix: str, width: int) -> dict[str, Tensor]:
    return {f"{prefix}text_projection": torch.rand(width, width).half(), f"{prefix}logit_scale": torch.rand(()).half()}


def _unused_by_vision(blank: Checkpoint, text: TextConfig, vision: VisionConfig) -> dict[str, Tensor]:
    """What the file keeps beside the vision tower: a text tower without its blocks, and vision's projection."""
    visual = PREFIXES["vision"]
    tower = _named("embedder.model.", blank.build("text", Layers()))
    return {
        **{name: tensor for name, tensor in tower.items() if ".resblocks." not in name},
        **_contrastive_head("embedder.model.", text.width),
        f"{visual}proj": torch.rand(vision.width, text.width).half(),
        f"{visual}ln_post.weight": torch.rand(vision.width).half(),
        f"{visual}ln_post.bias": torch.rand(vision.width).half(),
    }
