"""Sizes are read off a checkpoint's tensors."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from golden.sets import GoldenSet, Sizes, with_true_heads
from random_checkpoint import MODEL, SKETCH, random_tensors
from torch import Tensor

from tooncrafter_core.files.infer import infer_config
from tooncrafter_core.models.config import ModelConfig


def test_sizes_of_the_random_checkpoints(tiny_tensors: dict[str, Tensor], sketch_tensors: dict[str, Tensor]) -> None:
    assert infer_config(tiny_tensors) == MODEL
    assert infer_config(sketch_tensors) == SKETCH


def test_only_names_and_shapes_count(tiny_tensors: dict[str, Tensor]) -> None:
    empty = {name: torch.empty(tensor.shape, device="meta") for name, tensor in tiny_tensors.items()}
    assert infer_config(empty) == MODEL


def test_a_file_without_any_part() -> None:
    assert infer_config({"weight": torch.zeros(1)}) == ModelConfig()


@pytest.mark.parametrize(
    "name",
    [
        "model.diffusion_model.init_attn.0.proj_in.weight",
        "first_stage_model.encoder.conv_in.weight",
        "image_proj_model.latents",
        "cond_stage_model.model.positional_embedding",
        "embedder.model.visual.conv1.weight",
    ],
)
def test_a_missing_tensor_is_named(tiny_tensors: dict[str, Tensor], name: str) -> None:
    rest = {key: tensor for key, tensor in tiny_tensors.items() if key != name}
    with pytest.raises(ValueError, match=name):
        infer_config(rest)


def test_a_width_that_the_guessed_head_size_does_not_divide() -> None:
    """The true head count may well divide it: here there are 7 heads of 8 channels, and the U-Net's heads have 16."""
    assert MODEL.text is not None
    text = replace(MODEL.text, width=56, heads=7)
    inferred = infer_config(random_tensors(ModelConfig(unet=MODEL.unet, text=text))).text
    assert inferred is not None and inferred.width == 56


def test_inferred_sizes_are_the_ones_in_config_json(golden: GoldenSet) -> None:
    model, sketch, sizes = golden.model.config, golden.sketch.config, golden.sizes
    assert described(model, sketch) == {name: part for name, part in sizes.items() if name != "seed"}
    assert with_true_heads(model, sizes) == model
    assert with_true_heads(sketch, sizes) == sketch


def described(model: ModelConfig, sketch_file: ModelConfig) -> Sizes:
    """Our configs in the words of config.json."""
    unet, autoencoder, projector = model.unet, model.autoencoder, model.projector
    text, vision, sketch = model.text, model.vision, sketch_file.sketch
    assert unet and autoencoder and projector and text and vision and sketch
    return {
        "unet": {
            "in_channels": unet.in_channels,
            "out_channels": unet.out_channels,
            "model_channels": unet.model_channels,
            "channel_mult": list(unet.channel_mult),
            "num_res_blocks": unet.res_blocks,
            "attention_resolutions": [2**i for i, attends in enumerate(unet.attention_levels) if attends][::-1],
            "num_head_channels": unet.head_channels,
            "context_dim": unet.context_dim,
            "temporal_length": projector.frames,
        },
        "vae": {
            "ch": autoencoder.channels,
            "ch_mult": list(autoencoder.channel_mult),
            "z_channels": autoencoder.latent_channels,
            "num_res_blocks": autoencoder.res_blocks,
        },
        "image_projection": {
            "dim": projector.width,
            "depth": projector.depth,
            "heads": projector.heads,
            "dim_head": projector.inner_dim // projector.heads,
            "num_queries": 16,
            "video_length": projector.frames,
            "embedding_dim": projector.input_dim,
            "output_dim": projector.output_dim,
        },
        "clip_vision": {
            "image_size": vision.image_size,
            "patch_size": vision.patch_size,
            "width": vision.width,
            "layers": vision.layers,
            "heads": vision.heads,
        },
        "clip_text": {
            "width": text.width,
            "layers": text.layers,
            "heads": text.heads,
            "context_length": text.context_length,
            "vocab_size": text.vocabulary,
        },
        "sketch_encoder": {
            "in_channels": sketch.in_channels,
            "hint_channels": sketch.hint_channels,
            "model_channels": sketch.model_channels,
        },
    }
