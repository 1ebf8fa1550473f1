"""Decoding in chunks gives what decoding everything at once gives."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pytest
import torch
from comparison import relative_error
from random_checkpoint import MODEL, randomise
from torch import Tensor, nn

from tooncrafter_core.models.layers import own_weights
from tooncrafter_core.models.vae.autoencoder import Autoencoder, reference_pairs
from tooncrafter_core.models.vae.chunking import Chunking, norm_over, strips

CHUNKED = [Chunking.FRAMES, Chunking.OFFLOADED]


@pytest.fixture(scope="module", params=[True, False], ids=["dual-reference", "plain"])
def autoencoder(request: pytest.FixtureRequest) -> Autoencoder:
    """With a small random decoder."""
    torch.manual_seed(0)
    model = Autoencoder(replace(MODEL.autoencoder, dual_reference=request.param)).eval()
    randomise(model)
    return model


def some_references(autoencoder: Autoencoder, height: int, width: int) -> list[Tensor]:
    """Features of two random keyframes for latents of height x width."""
    keyframes = torch.rand(2, 3, 8 * height, 8 * width) * 2 - 1
    return reference_pairs(autoencoder.encode_keyframes(keyframes).features)


@pytest.mark.parametrize("chunking", CHUNKED)
@pytest.mark.parametrize("referring", [True, False], ids=["references", "no-references"])
@pytest.mark.parametrize(("frames", "height", "width"), [(2, 1, 1), (5, 3, 2), (6, 1, 3), (20, 2, 1)])
def test_chunks_change_nothing(
    autoencoder: Autoencoder, chunking: Chunking, referring: bool, frames: int, height: int, width: int
) -> None:
    """Once and in two passes, for even and odd sizes and more frames than rows."""
    latents = torch.randn(1, 4, frames, height, width)
    references = some_references(autoencoder, height, width) if referring else None
    for run in (autoencoder.decode_segments, autoencoder.decode_segments_twice):
        whole, chunked = run(latents, references), run(latents, references, chunking)
        assert relative_error(chunked, whole) <= 1e-5
        assert (chunked - whole).abs().max() <= 1e-4


def test_references_count_in_chunks(autoencoder: Autoencoder) -> None:
    latents = torch.randn(1, 4, 3, 2, 2)
    with_them = autoencoder.decode_segments(latents, some_references(autoencoder, 2, 2), Chunking.FRAMES)
    without = autoencoder.decode_segments(latents, None, Chunking.FRAMES)
    assert torch.equal(with_them, without) != autoencoder.config.dual_reference


def test_several_segments_at_once(autoencoder: Autoencoder) -> None:
    latents = torch.randn(2, 4, 3, 2, 1)
    references = [maps.expand(2, -1, -1, -1, -1) for maps in some_references(autoencoder, 2, 1)]
    whole = autoencoder.decode_segments(latents, references)
    assert relative_error(autoencoder.decode_segments(latents, references, Chunking.FRAMES), whole) <= 1e-5


def test_inputs_stay_as_they_are(autoencoder: Autoencoder) -> None:
    """Layers work in place, but not in what was handed in."""
    latents, references = torch.randn(1, 4, 3, 2, 2), some_references(autoencoder, 2, 2)
    copies = [values.clone() for values in (latents, *references)]
    autoencoder.decode_segments(latents, references, Chunking.FRAMES)
    assert all(torch.equal(a, b) for a, b in zip((latents, *references), copies, strict=True))


def test_half_precision_is_no_worse_in_chunks(autoencoder: Autoencoder) -> None:
    latents, references = torch.randn(1, 4, 4, 2, 2), some_references(autoencoder, 2, 2)
    exact = autoencoder.decode_segments(latents, references)
    with autoencoder.computing_in(torch.bfloat16):
        whole, chunked = (
            autoencoder.decode_segments(latents.bfloat16(), references, chunking)
            for chunking in (Chunking.WHOLE, Chunking.FRAMES)
        )
    assert relative_error(chunked, exact) <= 1.2 * relative_error(whole, exact)


@pytest.mark.parametrize(
    ("height", "frames", "count"), [(320, 16, 16), (321, 16, 17), (3, 2, 3), (3, 20, 3), (1, 1, 1)]
)
def test_strips_cover_every_row_once(height: int, frames: int, count: int) -> None:
    rows = torch.arange(height)
    found = strips(height, frames)
    assert torch.cat([rows[strip] for strip in found]).tolist() == rows.tolist()
    assert len(found) == count


def chunks_of(x: Tensor) -> Iterator[Tensor]:
    """Of different sizes."""
    yield from x.split([1, 4, 2], dim=-1)


@pytest.mark.parametrize("offset", [0.0, 100.0])
def test_norm_over_chunks(offset: float) -> None:
    norm = nn.GroupNorm(4, 8, eps=1e-5)
    nn.init.normal_(norm.weight)
    nn.init.normal_(norm.bias)
    x = torch.randn(2, 8, 3, 5, 7) * torch.rand(8, 1, 1, 1) + offset
    normalise = norm_over(norm, chunks_of(x), own_weights)
    out = torch.cat([normalise(chunk) for chunk in chunks_of(x)], dim=-1)
    limit = 1e-4 if offset else 1e-6  # float32 has 2e-6 of 100 left, where deviations are below 1
    assert relative_error(out, norm.double()(x.double())) <= limit
