"""Every model computes what the published implementation computes with the same weights."""

from __future__ import annotations

import pytest
import torch
from golden import MODULE_LIMIT, compare, family, full, relative_error, split_context, strength
from torch import Tensor, nn

from tooncrafter_core import ToonCrafter
from tooncrafter_core.files.tokenizer import tokenize
from tooncrafter_core.models.clip.vision_tower import preprocess
from tooncrafter_core.models.config import LATENT_SCALE
from tooncrafter_core.models.unet.context import CrossContext
from tooncrafter_core.models.unet.unet import Controls
from tooncrafter_core.models.vae.autoencoder import reference_pairs

PROMPTS = ("", "an anime scene", "a boy jumps, twists in the air; and lands!")
"""What `text.tokens` was made from."""

Vectors = dict[str, Tensor]


@pytest.fixture(scope="module")
def keyframes(vectors: Vectors) -> Tensor:
    return torch.cat([vectors["image.first"], vectors["image.last"]])


@pytest.fixture
def context(vectors: Vectors) -> CrossContext:
    return context_of(vectors, "unet.context", vectors["unet.x"].shape[2])


@pytest.fixture
def without_prompt(vectors: Vectors) -> CrossContext:
    return context_of(vectors, "unet.context_uncond", vectors["unet.x"].shape[2])


@pytest.fixture(scope="module")
def denoiser_input(vectors: Vectors) -> Tensor:
    return torch.cat([vectors["unet.x"], vectors["unet.concat"]], dim=1)


def context_of(vectors: Vectors, key: str, frames: int) -> CrossContext:
    return split_context(vectors[key], vectors["text.embedding"].shape[1], frames)


def test_tokens(vectors: Vectors) -> None:
    tokens = torch.cat([tokenize(prompt) for prompt in PROMPTS])
    assert tokens.tolist() == vectors["text.tokens"].tolist()


def test_text_tower(models: ToonCrafter, vectors: Vectors) -> None:
    compare({"text.embedding": models.text(vectors["text.tokens"])}, vectors, MODULE_LIMIT)


def test_vision_tower(models: ToonCrafter, vectors: Vectors) -> None:
    size = vectors["vision.preprocessed"].shape[-1]
    pixels = preprocess(vectors["image.first"], size)
    outputs = {"vision.preprocessed": pixels, "vision.embedding": models.vision(pixels)}
    for match in family(vectors, r"vision\.embedding_of_zeros_(\d+)"):
        side = int(match[1])
        outputs[match[0]] = models.vision(preprocess(torch.zeros(1, 3, side, side), size))
    compare(outputs, vectors, MODULE_LIMIT)


def test_image_projector(models: ToonCrafter, vectors: Vectors) -> None:
    (of_zeros,) = family(vectors, r"vision\.embedding_of_zeros_\d+")
    outputs = {
        "image_projection.out": models.projector(vectors["vision.embedding"]).flatten(1, 2),
        "image_projection.out_of_zeros": models.projector(vectors[of_zeros[0]]).flatten(1, 2),
    }
    compare(outputs, vectors, MODULE_LIMIT)


def test_encoder(models: ToonCrafter, vectors: Vectors, keyframes: Tensor) -> None:
    moments, features = models.autoencoder.moments(keyframes)
    latents = models.autoencoder.encode_keyframes(keyframes).latents
    outputs = {"vae.moments": moments, "vae.mode_scaled": latents * LATENT_SCALE}
    outputs |= {f"vae.hidden.{index}": feature for index, feature in enumerate(features)}
    assert {match[0] for match in family(vectors, r"vae\.hidden\.\d+")} <= outputs.keys()
    compare(outputs, vectors, MODULE_LIMIT)


def test_decoder(models: ToonCrafter, vectors: Vectors, keyframes: Tensor) -> None:
    references = reference_pairs(models.autoencoder.encode_keyframes(keyframes).features)
    latents = vectors["decode.latent"] / LATENT_SCALE
    outputs = {
        "decode.with_reference": models.autoencoder.decode_segments(latents, references),
        "decode.without_reference": models.autoencoder.decode_segments(latents),
        "decode.two_pass": models.autoencoder.decode_segments_twice(latents, references),
    }
    compare(outputs, vectors, MODULE_LIMIT)


def test_unet(models: ToonCrafter, vectors: Vectors, denoiser_input: Tensor, context: CrossContext) -> None:
    outputs = {
        match[0]: models.unet(
            denoiser_input, full(denoiser_input, int(match[1])), full(denoiser_input, int(match[2])), context
        )
        for match in family(vectors, r"unet\.out\.t(\d+)\.fs(\d+)")
    }
    compare(outputs, vectors, MODULE_LIMIT)


def test_unet_batch(
    models: ToonCrafter,
    vectors: Vectors,
    denoiser_input: Tensor,
    context: CrossContext,
    without_prompt: CrossContext,
) -> None:
    """Rows of one batch may differ in their context and their frame rate."""
    x, joined = denoiser_input.repeat(2, 1, 1, 1, 1), CrossContext.join([context, without_prompt])
    for match in family(vectors, r"unet\.out_batch2\.t(\d+)\.fs(\d+)_(\d+)"):
        t, *rates = map(int, match.groups())
        out = models.unet(x, full(x, t, t), full(x, *rates), joined)
        compare({match[0]: out}, vectors, MODULE_LIMIT)


def test_unet_with_another_number_of_frames(models: ToonCrafter, vectors: Vectors, denoiser_input: Tensor) -> None:
    for match in family(vectors, r"unet\.out_t(\d+)frames"):
        frames = int(match[1])
        shared = context_of(vectors, "unet.context", frames)
        assert shared.image is not None and shared.image.ndim == 3
        x = denoiser_input[:, :, :frames]
        compare({match[0]: models.unet(x, full(x, 500), full(x, 10), shared)}, vectors, MODULE_LIMIT)


def controls_of(models: ToonCrafter, vectors: Vectors, t: int, context: CrossContext, factor: float) -> Controls:
    assert models.sketch_encoder is not None
    x = vectors["unet.x"]
    return models.sketch_encoder(x, vectors["sketch.hint"], full(x, t), CrossContext(context.text), factor)


def test_sketch_encoder(models: ToonCrafter, vectors: Vectors, context: CrossContext) -> None:
    controls = controls_of(models, vectors, 500, context, 1.0)
    outputs = {f"sketch.control.{index}": out for index, out in enumerate([*controls.skips, controls.middle])}
    assert {match[0] for match in family(vectors, r"sketch\.control\.\d+")} == outputs.keys()
    compare(outputs, vectors, MODULE_LIMIT)


def test_unet_with_sketches(
    models: ToonCrafter, vectors: Vectors, denoiser_input: Tensor, context: CrossContext
) -> None:
    for match in family(vectors, r"unet\.out_sketch\.t(\d+)\.fs(\d+)\.scale(\d+)"):
        t, rate = int(match[1]), int(match[2])
        controls = controls_of(models, vectors, t, context, strength(match[3]))
        out = models.unet(denoiser_input, full(denoiser_input, t), full(denoiser_input, rate), context, controls)
        compare({match[0]: out}, vectors, MODULE_LIMIT)


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
    fresh_context = context_of(vectors, "unet.context", denoiser_input.shape[2])
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
