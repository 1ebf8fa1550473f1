"""Every model computes what the published implementation computes with the same weights."""

from __future__ import annotations

import pytest
import torch
from comparison import MODULE_LIMIT, compare, full, relative_error
from golden import outputs
from golden.outputs import context_of, family
from torch import Tensor, nn

from tooncrafter_core import ToonCrafter
from tooncrafter_core.models.unet.context import CrossContext

Vectors = dict[str, Tensor]


@pytest.fixture
def context(vectors: Vectors) -> CrossContext:
    return context_of(vectors, "unet.context")


@pytest.fixture
def without_prompt(vectors: Vectors) -> CrossContext:
    return context_of(vectors, "unet.context_uncond")


@pytest.fixture(scope="module")
def denoiser_input(vectors: Vectors) -> Tensor:
    return outputs.denoiser_input(vectors)


def test_tokens(vectors: Vectors) -> None:
    assert outputs.tokens()["text.tokens"].tolist() == vectors["text.tokens"].tolist()


def test_text_tower(models: ToonCrafter, vectors: Vectors) -> None:
    compare(outputs.text(models, vectors), vectors, MODULE_LIMIT)


def test_vision_tower(models: ToonCrafter, vectors: Vectors) -> None:
    compare(outputs.vision(models, vectors, vectors), vectors, MODULE_LIMIT)


def test_image_projector(models: ToonCrafter, vectors: Vectors) -> None:
    compare(outputs.projector(models, vectors), vectors, MODULE_LIMIT)


def test_encoder(models: ToonCrafter, vectors: Vectors) -> None:
    made = outputs.encoder(models, vectors)
    assert {match[0] for match in family(vectors, r"vae\.hidden\.\d+")} <= made.keys()
    compare(made, vectors, MODULE_LIMIT)


def test_decoder(models: ToonCrafter, vectors: Vectors) -> None:
    compare(outputs.decoder(models, vectors), vectors, MODULE_LIMIT)


def test_unet(models: ToonCrafter, vectors: Vectors) -> None:
    compare(outputs.unet(models, vectors, vectors), vectors, MODULE_LIMIT)


def test_unet_batch(models: ToonCrafter, vectors: Vectors) -> None:
    """Rows of one batch may differ in their context and their frame rate."""
    compare(outputs.unet_batch(models, vectors, vectors), vectors, MODULE_LIMIT)


def test_unet_with_another_number_of_frames(models: ToonCrafter, vectors: Vectors) -> None:
    compare(outputs.unet_of_another_length(models, vectors, vectors), vectors, MODULE_LIMIT)


def test_sketch_encoder(models: ToonCrafter, vectors: Vectors) -> None:
    made = outputs.sketch_encoder(models, vectors)
    assert {match[0] for match in family(vectors, r"sketch\.control\.\d+")} == made.keys()
    compare(made, vectors, MODULE_LIMIT)


def test_unet_with_sketches(models: ToonCrafter, vectors: Vectors) -> None:
    compare(outputs.unet_with_sketches(models, vectors, vectors), vectors, MODULE_LIMIT)


class Calls:
    """Counts the calls of the layers that make keys of the context."""

    def __init__(self, model: nn.Module) -> None:
        self.count = 0
        layers = [layer for name, layer in model.named_modules() if name.endswith((".attn2.to_k", ".attn2.to_k_ip"))]
        self.hooks = [layer.register_forward_hook(self._called) for layer in layers]

    def _called(self, *_: object) -> None:
        self.count += 1

    def __enter__(self) -> Calls:
        return self

    def __exit__(self, *_: object) -> None:
        for hook in self.hooks:
            hook.remove()


def test_kept_keys_and_values_change_nothing(
    models: ToonCrafter, vectors: Vectors, denoiser_input: Tensor, context: CrossContext
) -> None:
    """A second timestep, with keys and values of the first one and with fresh ones."""
    rates = full(denoiser_input, 10)
    with Calls(models.unet) as calls:
        models.unet(denoiser_input, full(denoiser_input, 900), rates, context)
        first = calls.count
        kept = models.unet(denoiser_input, full(denoiser_input, 100), rates, context)
        second = calls.count - first
    fresh_context = context_of(vectors, "unet.context")
    fresh = models.unet(denoiser_input, full(denoiser_input, 100), rates, fresh_context)
    assert relative_error(kept, fresh) <= 1e-6
    assert second < first, "the second pass made the context's keys again"


def test_joined_contexts_equal_two_passes(
    models: ToonCrafter, denoiser_input: Tensor, context: CrossContext, without_prompt: CrossContext
) -> None:
    both = denoiser_input.repeat(2, 1, 1, 1, 1)
    joined = models.unet(both, full(both, 300, 300), full(both, 10, 10), CrossContext.join([context, without_prompt]))
    t, rate = full(denoiser_input, 300), full(denoiser_input, 10)
    separate = [models.unet(denoiser_input, t, rate, each) for each in (context, without_prompt)]
    assert relative_error(joined, torch.cat(separate)) <= 1e-5
    assert relative_error(separate[0], separate[1]) > 1e-3, "the two contexts give the same"
