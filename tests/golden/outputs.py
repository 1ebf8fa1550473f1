"""What every golden vector is: each function computes outputs of one of our models, of some those that `names` has.

`vectors` holds what goes in: inputs, and stored outputs of earlier modules, so that an error shows where it is made.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

import torch
from comparison import full
from torch import Tensor

from tooncrafter_core import ToonCrafter
from tooncrafter_core.files.tokenizer import tokenize
from tooncrafter_core.models.clip.vision_tower import preprocess
from tooncrafter_core.models.config import LATENT_SCALE, TOKENS_PER_FRAME
from tooncrafter_core.models.unet.context import CrossContext
from tooncrafter_core.models.unet.unet import Controls
from tooncrafter_core.models.vae.autoencoder import reference_pairs

PROMPTS = ("", "an anime scene", "a boy jumps, twists in the air; and lands!")
"""What `text.tokens` was made from."""

Vectors = Mapping[str, Tensor]
Outputs = dict[str, Tensor]


def family(names: Iterable[str], pattern: str) -> list[re.Match[str]]:
    """Matches of every name that is wholly of this form; there must be one."""
    found = [match for match in (re.fullmatch(pattern, name) for name in names) if match]
    assert found, f"no vector has a name like {pattern}"
    return found


def strength(digits: str) -> float:
    """Strengths are written without their point: 06 is 0.6."""
    return float(f"{digits[0]}.{digits[1:]}")


def split_context(context: Tensor, text_tokens: int, frames: int) -> CrossContext:
    """Text tokens, then image tokens: so many for each frame, or else all of them for every frame."""
    text, image = context[:, :text_tokens], context[:, text_tokens:]
    if image.shape[1] == TOKENS_PER_FRAME * frames:
        image = image.unflatten(1, (frames, TOKENS_PER_FRAME))
    return CrossContext(text, image)


def context_of(vectors: Vectors, name: str, frames: int | None = None) -> CrossContext:
    return split_context(vectors[name], vectors["text.embedding"].shape[1], frames or vectors["unet.x"].shape[2])


def keyframes_of(vectors: Vectors) -> Tensor:
    return torch.cat([vectors["image.first"], vectors["image.last"]])


def denoiser_input(vectors: Vectors) -> Tensor:
    return torch.cat([vectors["unet.x"], vectors["unet.concat"]], dim=1)


def tokens() -> Outputs:
    return {"text.tokens": torch.cat([tokenize(prompt) for prompt in PROMPTS])}


def text(models: ToonCrafter, vectors: Vectors) -> Outputs:
    return {"text.embedding": models.text(vectors["text.tokens"])}


def vision(models: ToonCrafter, vectors: Vectors, names: Iterable[str]) -> Outputs:
    size = models.vision.config.image_size
    pixels = preprocess(vectors["image.first"], size)
    outputs = {"vision.preprocessed": pixels, "vision.embedding": models.vision(pixels)}
    for match in family(names, r"vision\.embedding_of_zeros_(\d+)"):
        side = int(match[1])
        outputs[match[0]] = models.vision(preprocess(torch.zeros(1, 3, side, side), size))
    return outputs


def projector(models: ToonCrafter, vectors: Vectors) -> Outputs:
    (of_zeros,) = family(vectors, r"vision\.embedding_of_zeros_\d+")
    return {
        "image_projection.out": models.projector(vectors["vision.embedding"]).flatten(1, 2),
        "image_projection.out_of_zeros": models.projector(vectors[of_zeros[0]]).flatten(1, 2),
    }


def encoder(models: ToonCrafter, vectors: Vectors) -> Outputs:
    pictures = keyframes_of(vectors)
    moments, features = models.autoencoder.moments(pictures)
    latents = models.autoencoder.encode_keyframes(pictures).latents
    outputs = {"vae.moments": moments, "vae.mode_scaled": latents * LATENT_SCALE}
    return outputs | {f"vae.hidden.{index}": feature for index, feature in enumerate(features)}


def decoder(models: ToonCrafter, vectors: Vectors) -> Outputs:
    references = reference_pairs(models.autoencoder.encode_keyframes(keyframes_of(vectors)).features)
    latents = vectors["decode.latent"] / LATENT_SCALE
    return {
        "decode.with_reference": models.autoencoder.decode_segments(latents, references),
        "decode.without_reference": models.autoencoder.decode_segments(latents),
        "decode.two_pass": models.autoencoder.decode_segments_twice(latents, references),
    }


def unet(models: ToonCrafter, vectors: Vectors, names: Iterable[str]) -> Outputs:
    x, context = denoiser_input(vectors), context_of(vectors, "unet.context")
    return {
        match[0]: models.unet(x, full(x, int(match[1])), full(x, int(match[2])), context)
        for match in family(names, r"unet\.out\.t(\d+)\.fs(\d+)")
    }


def unet_batch(models: ToonCrafter, vectors: Vectors, names: Iterable[str]) -> Outputs:
    """Two rows that differ in their context and their frame rate."""
    x = denoiser_input(vectors).repeat(2, 1, 1, 1, 1)
    joined = CrossContext.join([context_of(vectors, name) for name in ("unet.context", "unet.context_uncond")])
    outputs = {}
    for match in family(names, r"unet\.out_batch2\.t(\d+)\.fs(\d+)_(\d+)"):
        t, *rates = map(int, match.groups())
        outputs[match[0]] = models.unet(x, full(x, t, t), full(x, *rates), joined)
    return outputs


def unet_of_another_length(models: ToonCrafter, vectors: Vectors, names: Iterable[str]) -> Outputs:
    outputs = {}
    for match in family(names, r"unet\.out_t(\d+)frames"):
        frames = int(match[1])
        shared = context_of(vectors, "unet.context", frames)
        assert shared.image is not None and shared.image.ndim == 3
        x = denoiser_input(vectors)[:, :, :frames]
        outputs[match[0]] = models.unet(x, full(x, 500), full(x, 10), shared)
    return outputs


def controls_of(models: ToonCrafter, vectors: Vectors, t: int, factor: float) -> Controls:
    assert models.sketch_encoder is not None
    x, text_only = vectors["unet.x"], CrossContext(context_of(vectors, "unet.context").text)
    return models.sketch_encoder(x, vectors["sketch.hint"], full(x, t), text_only, factor)


def sketch_encoder(models: ToonCrafter, vectors: Vectors) -> Outputs:
    controls = controls_of(models, vectors, 500, 1.0)
    return {f"sketch.control.{index}": out for index, out in enumerate([*controls.skips, controls.middle])}


def unet_with_sketches(models: ToonCrafter, vectors: Vectors, names: Iterable[str]) -> Outputs:
    x, context = denoiser_input(vectors), context_of(vectors, "unet.context")
    outputs = {}
    for match in family(names, r"unet\.out_sketch\.t(\d+)\.fs(\d+)\.scale(\d+)"):
        t, rate = int(match[1]), int(match[2])
        controls = controls_of(models, vectors, t, strength(match[3]))
        outputs[match[0]] = models.unet(x, full(x, t), full(x, rate), context, controls)
    return outputs
