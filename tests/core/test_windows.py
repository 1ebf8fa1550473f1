"""Segments of more frames than the model was trained for: windows that overlap, and what is blended from them."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import pytest
import torch
from golden import full, relative_error
from torch import Tensor

from tooncrafter_core import Settings, ToonCrafter, interpolate
from tooncrafter_core.models.unet.context import CrossContext
from tooncrafter_core.sampling.denoiser import GuidedDenoiser
from tooncrafter_core.sampling.guidance import guide
from tooncrafter_core.sampling.windows import predict_in_windows, windows

LENGTHS = [2, 3, 5, 15, 16, 17, 31, 33, 64]
T = 600


@pytest.mark.parametrize("frames", [2, 15, 16])
def test_short_segments_are_one_window(frames: int) -> None:
    assert windows(frames, 16) == [slice(0, frames)]
    prediction = torch.randn(1, 4, frames, 2, 2)
    assert predict_in_windows(lambda window: prediction, frames, 16) is prediction


@pytest.mark.parametrize("length", [1, 2, 7, 16])
@pytest.mark.parametrize("frames", range(17, 100, 7))
def test_windows_cover_the_segment_and_overlap_by_half(frames: int, length: int) -> None:
    spans = windows(frames, length)
    assert (spans[0].start, spans[-1].stop) == (0, frames)
    assert all(span.stop - span.start == length for span in spans)
    steps = [b.start - a.start for a, b in pairwise(spans)]
    assert all(1 <= step <= max(length // 2, 1) for step in steps)
    assert max(steps) - min(steps) <= 1, "not spread evenly"


@pytest.mark.parametrize(("frames", "count"), [(17, 2), (24, 2), (25, 3), (31, 3), (33, 4), (64, 7)])
def test_no_more_windows_than_needed(frames: int, count: int) -> None:
    assert len(windows(frames, 16)) == count


@pytest.mark.parametrize("frames", [17, 31, 64])
def test_windows_that_agree_change_nothing(frames: int) -> None:
    """Any function of each frame alone comes out as it would from one window."""
    z = torch.randn(2, 4, frames, 3, 2)
    assert relative_error(predict_in_windows(lambda window: z[:, :, window].sin(), frames, 16), z.sin()) < 1e-6


def test_the_weights_fall_to_the_ends_of_a_window() -> None:
    """Two windows of 16 over 24 frames, one predicting 0 and the other 1: the blend rises frame by frame."""
    blended = predict_in_windows(lambda window: torch.full((1, 1, 16, 1, 1), window.start / 8), 24, 16).flatten()
    assert blended[:8].eq(0).all() and blended[16:].eq(1).all()
    expected = torch.arange(1.0, 9) / 9
    assert torch.allclose(blended[8:16], expected)


def context(seed: int, frames: int) -> CrossContext:
    generator = torch.Generator().manual_seed(seed)
    return CrossContext(torch.randn(1, 7, 32, generator=generator), torch.randn(1, frames, 16, 32, generator=generator))


def guided(tiny: ToonCrafter, frames: int, window: int) -> GuidedDenoiser:
    """Both passes of one segment, with sketches. Norms over fewer pixels than 4 x 4 amplify rounding."""
    generator = torch.Generator().manual_seed(frames)
    condition = torch.zeros(1, 4, frames, 4, 4)
    condition[:, :, [0, -1]] = torch.randn(1, 4, 2, 4, 4, generator=generator)
    return GuidedDenoiser(
        unet=tiny.unet,
        condition=condition,
        contexts=[[context(1, frames), context(2, frames)]],
        frame_rate=12,
        guidance_scale=7.5,
        guidance_rescale=0.7,
        window=window,
        sketch_encoder=tiny.sketch_encoder,
        hints=(torch.rand(1, 1, frames, 32, 32, generator=generator) > 0.8).float(),
        sketch_strength=0.6,
    )


def by_hand(denoiser: GuidedDenoiser, z: Tensor) -> Tensor:
    """v of 24 frames, from the two windows of 16 and their weights 8..1 and 1..8 of 9 where they overlap."""
    assert denoiser.sketch_encoder is not None and denoiser.hints is not None
    fade = torch.cat([torch.ones(8), torch.arange(8.0, 0, -1) / 9])
    passes = []
    for whole in denoiser.contexts[0]:
        v = torch.zeros_like(z)
        for span, share in ((slice(0, 16), fade), (slice(8, 24), fade.flip(0))):
            part = CrossContext(whole.text, whole.image[:, span] if whole.image is not None else None)
            noisy, hint = z[:, :, span], denoiser.hints[:, :, span]
            controls = denoiser.sketch_encoder(noisy, hint, full(z, T), part, 0.6)
            x = torch.cat([noisy, denoiser.condition[:, :, span]], dim=1)
            v[:, :, span] += denoiser.unet(x, full(z, T), full(z, 12), part, controls) * share[:, None, None]
        passes.append(v)
    return guide(passes[0], passes[1], 7.5, 0.7)


def test_a_window_sees_what_belongs_to_its_frames(tiny: ToonCrafter) -> None:
    """Latents, condition, tokens and sketches; guidance comes after blending."""
    denoiser, z = guided(tiny, 24, 16), torch.randn(1, 4, 24, 4, 4)
    assert relative_error(denoiser(z, T), by_hand(denoiser, z)) < 1e-4


def test_both_passes_in_one_batch_are_blended_alike(tiny: ToonCrafter) -> None:
    denoiser, z = guided(tiny, 20, 16), torch.randn(1, 4, 20, 4, 4)
    joined = replace(denoiser, contexts=[[CrossContext.join(denoiser.contexts[0])]])
    assert relative_error(joined(z, T), denoiser(z, T)) < 1e-3


def test_the_trained_length_is_one_pass(tiny: ToonCrafter) -> None:
    """At 16 frames nothing depends on windows, bit for bit."""
    denoiser, z = guided(tiny, 16, 16), torch.randn(1, 4, 16, 4, 4)
    assert torch.equal(denoiser(z, T), replace(denoiser, window=1000)(z, T))


@pytest.mark.parametrize("frames", LENGTHS)
def test_interpolate_any_number_of_frames(frames: int, tiny: ToonCrafter) -> None:
    seen: list[int] = []
    hook = tiny.unet.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0].shape[2]))
    keyframes = torch.rand(2, 3, 16, 16, generator=torch.Generator().manual_seed(0))
    settings = Settings(steps=1, frames=frames, guidance_scale=1)
    try:
        out = interpolate(tiny, keyframes, 16, 16, settings=settings)
    finally:
        hook.remove()
    assert out.shape == (frames, 3, 16, 16)
    assert out.isfinite().all() and out.std() > 0.02
    assert seen == [min(frames, 16)] * len(windows(frames, 16))
