"""The guided denoiser gives the same whichever way its passes are run."""

from __future__ import annotations

from copy import deepcopy
from dataclasses import replace

import pytest
import torch
from comparison import full, relative_error
from torch import Tensor

from tooncrafter_core import ToonCrafter
from tooncrafter_core.models.unet.context import CrossContext
from tooncrafter_core.models.unet.sketch_encoder import scaled
from tooncrafter_core.sampling.denoiser import GuidedDenoiser
from tooncrafter_core.sampling.guidance import EVERYWHERE, Interval, guide

SEGMENTS, FRAMES, T = 2, 3, 600


def random_context(seed: int) -> CrossContext:
    generator = torch.Generator().manual_seed(seed)
    return CrossContext(
        torch.randn(1, 77, 32, generator=generator), torch.randn(1, FRAMES, 16, 32, generator=generator)
    )


PAIRS = [[random_context(1), random_context(2)], [random_context(3), random_context(2)]]


@pytest.fixture
def denoiser(tiny: ToonCrafter) -> GuidedDenoiser:
    """Two passes of batch 1 for each of two segments, with sketches."""
    return GuidedDenoiser(
        unet=tiny.unet,
        condition=torch.randn(SEGMENTS, 4, FRAMES, 4, 4),
        contexts=[[CrossContext(c.text, c.image) for c in pair] for pair in PAIRS],
        frame_rate=12,
        guidance_scale=7.5,
        guidance_rescale=0.7,
        sketch_encoder=tiny.sketch_encoder,
        hints=(torch.rand(SEGMENTS, 1, FRAMES, 32, 32) > 0.8).float(),
        sketch_strength=0.6,
    )


@pytest.fixture
def z() -> Tensor:
    return torch.randn(SEGMENTS, 4, FRAMES, 4, 4)


def by_hand(denoiser: GuidedDenoiser, z: Tensor, segment: int) -> Tensor:
    """Guided v of one segment."""
    row = slice(segment, segment + 1)
    assert denoiser.sketch_encoder is not None and denoiser.hints is not None
    predictions: list[Tensor] = []
    for context in PAIRS[segment]:
        controls = denoiser.sketch_encoder(z[row], denoiser.hints[row], full(z, T), context, 0.6)
        x = torch.cat([z[row], denoiser.condition[row]], dim=1)
        predictions.append(denoiser.unet(x, full(z, T), full(z, 12), context, controls))
    return guide(predictions[0], predictions[1], 7.5, 0.7)


def test_two_passes_for_each_segment(denoiser: GuidedDenoiser, z: Tensor) -> None:
    expected = torch.cat([by_hand(denoiser, z, segment) for segment in range(SEGMENTS)])
    assert relative_error(denoiser(z, T), expected) < 1e-5


def test_one_joined_pass_is_the_same(denoiser: GuidedDenoiser, z: Tensor) -> None:
    """In double precision: guidance and norms over few pixels amplify what rounding does to float32."""
    assert denoiser.hints is not None
    pairs = [[context.to("cpu", torch.float64) for context in pair] for pair in PAIRS]
    apart = replace(
        denoiser,
        unet=deepcopy(denoiser.unet).double(),
        sketch_encoder=deepcopy(denoiser.sketch_encoder).double(),
        condition=denoiser.condition.double(),
        hints=denoiser.hints.double(),
        contexts=pairs,
    )
    joined = replace(apart, contexts=[[CrossContext.join(pair)] for pair in pairs])
    assert relative_error(joined(z, T), apart(z, T)) < 1e-5


def test_one_context_is_no_guidance(denoiser: GuidedDenoiser, z: Tensor) -> None:
    plain = replace(denoiser, contexts=[pair[:1] for pair in denoiser.contexts], hints=None)
    x = torch.cat([z, denoiser.condition], dim=1)
    v = [denoiser.unet(x[i : i + 1], full(z, T), full(z, 12), PAIRS[i][0]) for i in range(SEGMENTS)]
    assert relative_error(plain(z, T), torch.cat(v)) < 1e-5


@pytest.mark.parametrize("joined", [False, True], ids=["one after the other", "joined"])
def test_outside_the_interval_only_the_conditional_pass_runs(denoiser: GuidedDenoiser, z: Tensor, joined: bool) -> None:
    """To the last bit what a denoiser without guidance gives, in half the rows."""
    rows: list[int] = []
    contexts = [[CrossContext.join(pair)] for pair in PAIRS] if joined else denoiser.contexts
    limited = replace(denoiser, contexts=contexts, guided=Interval(0.5, 0.6))
    plain = replace(denoiser, contexts=[pair[:1] for pair in denoiser.contexts])
    hook = denoiser.unet.register_forward_pre_hook(lambda _, inputs: rows.append(len(inputs[0])))
    try:
        v, expected = limited(z, T), plain(z, T)
        assert sum(rows) == 2 * SEGMENTS
        guided, everywhere = limited(z, 450), replace(denoiser, contexts=contexts)(z, 450)
        assert sum(rows) == 6 * SEGMENTS
    finally:
        hook.remove()
    assert torch.equal(v, expected)
    assert torch.equal(guided, everywhere) and relative_error(guided, plain(z, 450)) > 1e-3


def test_shares_of_the_walk_are_comfyuis_percents() -> None:
    """A percent is timestep 999 (1 - percent); both ends of an interval are in it."""
    assert all(EVERYWHERE.holds(t) for t in range(1000))
    limited = Interval(0.25, 0.75)
    assert [t for t in range(1000) if limited.holds(t)] == list(range(250, 750))


@pytest.mark.parametrize("ends", [(0.5, 0.5), (0.8, 0.2), (-0.1, 1.0), (0.0, 1.1), (float("nan"), 1.0)])
def test_intervals_that_hold_nothing(ends: tuple[float, float]) -> None:
    with pytest.raises(ValueError, match=r"guidance_from is .* guidance_to .*; expected a start before the end"):
        Interval(*ends)


def test_a_strength_for_each_frame(denoiser: GuidedDenoiser, z: Tensor) -> None:
    """Each frame's outputs have its own factor; the same factor for all is the same as one number, to the last bit."""
    assert denoiser.sketch_encoder is not None and denoiser.hints is not None
    inputs = z[:1], denoiser.hints[:1], full(z, T), PAIRS[0][0]
    whole = denoiser.sketch_encoder(*inputs)
    strengths = torch.tensor([[0.0, 0.25, 2.0]])
    own = denoiser.sketch_encoder(*inputs, strengths)
    for each, of_all in zip([*own.skips, own.middle], [*whole.skips, whole.middle], strict=True):
        assert torch.equal(each, of_all * strengths.view(3, 1, 1, 1)) and of_all.any()
    same = replace(denoiser, sketch_strength=torch.full((SEGMENTS, FRAMES), 0.6))
    assert torch.equal(same(z, T), denoiser(z, T))
    first_only = replace(denoiser, sketch_strength=torch.tensor([[0.6] * 3, [0.0] * 3]))
    without = replace(denoiser, hints=None)
    assert torch.equal(first_only(z, T)[0], denoiser(z, T)[0])
    assert relative_error(first_only(z, T)[1], without(z, T)[1]) < 1e-5


def test_one_number_for_each_frame_rounds_as_one_for_all() -> None:
    maps = torch.randn(2, 3, 4, 4).half()
    assert torch.equal(scaled(maps, torch.full((2,), 0.6)), maps * 0.6)
    assert scaled(maps, torch.tensor([0.6, 0.1])).dtype == torch.float16


def test_hints_count(denoiser: GuidedDenoiser, z: Tensor) -> None:
    assert relative_error(replace(denoiser, hints=None)(z, T), denoiser(z, T)) > 1e-3
