"""Working memory does not grow with the number of keyframes, nor with the length of a segment."""

from __future__ import annotations

from functools import partial

import pytest
import torch
from benchmarks.counters import peak_bytes

from tooncrafter_core import Settings, ToonCrafter, interpolate
from tooncrafter_core.models.unet.context import CrossContext
from tooncrafter_core.models.vae.autoencoder import Encoded
from tooncrafter_core.sampling.denoiser import GuidedDenoiser, SegmentsDenoiser

SIDE = 8
"""Of the latents, so that activations outweigh what the tests allow beside them."""


def denoising_peak(tiny: ToonCrafter, segments: int, frames: int) -> int:
    """Peak of one guided step with sketches, beside its result."""
    denoisers = [
        GuidedDenoiser(
            unet=tiny.unet,
            condition=torch.randn(1, 4, frames, SIDE, SIDE),
            contexts=[
                CrossContext(torch.randn(1, 77, 32), torch.randn(1, frames, 16, 32), keep=segments == 1)
                for _ in range(2)
            ],
            frame_rate=10,
            guidance_scale=7.5,
            guidance_rescale=0.7,
            sketch_encoder=tiny.sketch_encoder,
            hints=torch.rand(1, 1, frames, 8 * SIDE, 8 * SIDE),
        )
        for _ in range(segments)
    ]
    z = torch.randn(segments * frames, 4, SIDE, SIDE)
    results = 8 * z.nbytes  # v of both passes, of guidance between them, and of all segments
    return peak_bytes(partial(SegmentsDenoiser(denoisers), z, 600), "cpu") - results


@pytest.fixture(scope="module")
def one_segment(tiny: ToonCrafter) -> int:
    """The peak for one segment of the trained length."""
    with torch.no_grad():
        return denoising_peak(tiny, 1, 16)


def test_a_step_of_many_segments_needs_no_more_than_one(tiny: ToonCrafter, one_segment: int) -> None:
    assert denoising_peak(tiny, 4, 16) <= one_segment


def test_keyframes_add_their_features_and_frames_only(tiny: ToonCrafter) -> None:
    """The whole way: what a further keyframe adds is what is kept of it and of its segment."""
    frames = 4
    settings = Settings(width=64, height=64, steps=1, frames=frames)
    keyframes = torch.rand(5, 3, 64, 64)
    few, many = (peak_bytes(partial(interpolate, tiny, keyframes[:n], settings), "cpu") for n in (2, 5))
    added = (many - few) / 3
    assert added <= kept_of_one(tiny, frames)
    assert added < few / 4


def kept_of_one(tiny: ToonCrafter, frames: int) -> int:
    """Bytes of one keyframe's encoding, and of a segment's frames, joined and not, and latents."""
    encoded: Encoded = tiny.autoencoder.encode_keyframes(torch.rand(1, 3, 64, 64))
    picture = 64 * 64 * 3 * 4
    latents = 16 * encoded.latents.nbytes * frames
    return sum(maps.nbytes for maps in encoded.features) + (3 * frames + 2) * picture + latents
