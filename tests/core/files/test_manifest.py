"""Our models have every tensor of the published files, by name and shape, and no other."""

from __future__ import annotations

import json
import re
from pathlib import Path

import benchmark
import pytest
import torch
from random_checkpoint import random_tensors
from torch import Tensor

from tooncrafter_core.files.checkpoint import PREFIXES, Checkpoint, to_core_name
from tooncrafter_core.files.infer import infer_config
from tooncrafter_core.models.config import ModelConfig

SCHEDULE = [
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
    "scale_arr",
]

UNUSED = [
    *map(re.escape, SCHEDULE),
    r"cond_stage_model\.model\.transformer\.resblocks\.23\..*",  # the text tower's last block
    r"cond_stage_model\.model\.(logit_scale|text_projection)",
    r"embedder\.model\.(logit_scale|text_projection|positional_embedding)",
    r"embedder\.model\.token_embedding\.weight",
    r"embedder\.model\.ln_final\.(weight|bias)",
    r"embedder\.model\.visual\.(proj|ln_post\.weight|ln_post\.bias)",
]
"""Names in the published file that no computation reads."""

Shapes = dict[str, tuple[int, ...]]


def shapes_in(manifest: Path) -> Shapes:
    return {name: tuple(shape) for name, (shape, _) in json.loads(manifest.read_text()).items()}


@pytest.fixture(params=["model.ckpt", "sketch_encoder.ckpt"])
def published(request: pytest.FixtureRequest, reference: Path) -> Shapes:
    """Names and shapes in one published file."""
    return shapes_in(reference / f"{request.param}.manifest.json")


@pytest.fixture
def checkpoint(published: Shapes) -> Checkpoint:
    """That file, with empty tensors."""
    tensors = {name: torch.empty(shape, device="meta") for name, shape in published.items()}
    return Checkpoint(Path("published"), tensors, infer_config(tensors))


def test_inferred_sizes_are_the_ones_that_are_benchmarked(checkpoint: Checkpoint) -> None:
    expected = benchmark.PUBLISHED_SKETCH if checkpoint.parts == ["sketch"] else benchmark.PUBLISHED
    assert checkpoint.config == expected


def test_every_part_in_both_directions(published: Shapes, checkpoint: Checkpoint) -> None:
    used: set[str] = set()
    for part in checkpoint.parts:
        ours = {name: tuple(tensor.shape) for name, tensor in checkpoint.build(part).state_dict().items()}
        theirs = {
            to_core_name(name.removeprefix(PREFIXES[part])): name
            for name in published
            if name.startswith(PREFIXES[part])
        }
        assert ours.keys() <= theirs.keys(), part
        assert ours == {name: published[theirs[name]] for name in ours}, part
        used |= {theirs[name] for name in ours}
    left_over = [name for name in published if name not in used]
    assert [name for name in left_over if not any(re.fullmatch(pattern, name) for pattern in UNUSED)] == []
    assert [name for name in used if any(re.fullmatch(pattern, name) for pattern in UNUSED)] == []


def test_the_whole_file_is_accepted(checkpoint: Checkpoint) -> None:
    checkpoint.check()
    assert checkpoint.missing_parts == []


def test_every_name_of_the_list_of_unused_ones_exists(reference: Path) -> None:
    names = shapes_in(reference / "model.ckpt.manifest.json")
    assert [pattern for pattern in UNUSED if not any(re.fullmatch(pattern, name) for name in names)] == []


@pytest.mark.parametrize("config", [benchmark.PUBLISHED, benchmark.PUBLISHED_SKETCH], ids=["model", "sketch"])
def test_random_checkpoints_have_the_published_layout(config: ModelConfig, reference: Path) -> None:
    name = "model.ckpt" if config.unet else "sketch_encoder.ckpt"
    with torch.device("meta"):
        tensors: dict[str, Tensor] = random_tensors(config)
    assert {key: tuple(tensor.shape) for key, tensor in tensors.items()} == shapes_in(
        reference / f"{name}.manifest.json"
    )
