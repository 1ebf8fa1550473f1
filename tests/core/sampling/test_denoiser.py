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
from tooncrafter_core.sampling.denoiser import GuidedDenoiser, SegmentsDenoiser
from tooncrafter_core.sampling.guidance import EVERYWHERE, Interval, guide

FRAMES, T = 3, 600


def random_context(seed: int, frames: int = FRAMES) -> CrossContext:
    generator = torch.Generator().manual_seed(seed)
    return CrossContext(
        torch.randn(1, 77, 32, generator=generator), torch.randn(1, frames, 16, 32, generator=generator)
    )


PAIR = [random_context(1), random_context(2)]


@pytest.fixture
def denoiser(tiny: ToonCrafter) -> GuidedDenoiser:
    """Two passes of batch 1, with sketches."""
    return GuidedDenoiser(
        unet=tiny.unet,
        condition=torch.randn(1, 4, FRAMES, 4, 4),
        contexts=[CrossContext(c.text, c.image) for c in PAIR],
        frame_rate=12,
        guidance_scale=7.5,
        guidance_rescale=0.7,
        sketch_encoder=tiny.sketch_encoder,
        hints=(torch.rand(1, 1, FRAMES, 32, 32) > 0.8).float(),
        sketch_strength=0.6,
    )


@pytest.fixture
def z() -> Tensor:
    return torch.randn(1, 4, FRAMES, 4, 4)


def by_hand(denoiser: GuidedDenoiser, z: Tensor) -> Tensor:
    """Guided v."""
    assert denoiser.sketch_encoder is not None and denoiser.hints is not None
    predictions: list[Tensor] = []
    for context in PAIR:
        controls = denoiser.sketch_encoder(z, denoiser.hints, full(z, T), context, 0.6)
        x = torch.cat([z, denoiser.condition], dim=1)
        predictions.append(denoiser.unet(x, full(z, T), full(z, 12), context, controls))
    return guide(predictions[0], predictions[1], 7.5, 0.7)


def test_two_passes(denoiser: GuidedDenoiser, z: Tensor) -> None:
    assert relative_error(denoiser(z, T), by_hand(denoiser, z)) < 1e-5


def test_segments_of_any_lengths_are_rows_of_one_batch(denoiser: GuidedDenoiser) -> None:
    """What comes of each is what it gives alone, to the last bit."""
    longer = replace(
        denoiser,
        condition=torch.randn(1, 4, 5, 4, 4),
        contexts=[random_context(seed, frames=5) for seed in (3, 2)],
        hints=(torch.rand(1, 1, 5, 32, 32) > 0.8).float(),
    )
    segments = [denoiser, longer, denoiser]
    rows = torch.randn(3 + 5 + 3, 4, 4, 4)
    alone = [one(part.transpose(0, 1)[None], T) for one, part in zip(segments, rows.split([3, 5, 3]), strict=True)]
    assert torch.equal(SegmentsDenoiser(segments)(rows, T), torch.cat([v[0].transpose(0, 1) for v in alone]))


def test_one_joined_pass_is_the_same(denoiser: GuidedDenoiser, z: Tensor) -> None:
    """In double precision: guidance and norms over few pixels amplify what rounding does to float32."""
    assert denoiser.hints is not None
    pair = [context.to("cpu", torch.float64) for context in PAIR]
    apart = replace(
        denoiser,
        unet=deepcopy(denoiser.unet).double(),
        sketch_encoder=deepcopy(denoiser.sketch_encoder).double(),
        condition=denoiser.condition.double(),
        hints=denoiser.hints.double(),
        contexts=pair,
    )
    joined = replace(apart, contexts=[CrossContext.join(pair)])
    assert relative_error(joined(z, T), apart(z, T)) < 1e-5


def test_one_context_is_no_guidance(denoiser: GuidedDenoiser, z: Tensor) -> None:
    plain = replace(denoiser, contexts=denoiser.contexts[:1], hints=None)
    x = torch.cat([z, denoiser.condition], dim=1)
    assert relative_error(plain(z, T), denoiser.unet(x, full(z, T), full(z, 12), PAIR[0])) < 1e-5


@pytest.mark.parametrize("joined", [False, True], ids=["one after the other", "joined"])
def test_outside_the_interval_only_the_conditional_pass_runs(denoiser: GuidedDenoiser, z: Tensor, joined: bool) -> None:
    """To the last bit what a denoiser without guidance gives, in half the rows."""
    rows: list[int] = []
    contexts = [CrossContext.join(PAIR)] if joined else denoiser.contexts
    limited = replace(denoiser, contexts=contexts, guided=Interval(0.5, 0.6))
    plain = replace(denoiser, contexts=denoiser.contexts[:1])
    hook = denoiser.unet.register_forward_pre_hook(lambda _, inputs: rows.append(len(inputs[0])))
    try:
        v, expected = limited(z, T), plain(z, T)
        assert sum(rows) == 2
        guided, everywhere = limited(z, 450), replace(denoiser, contexts=contexts)(z, 450)
        assert sum(rows) == 6
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
    inputs = z, denoiser.hints, full(z, T), PAIR[0]
    whole = denoiser.sketch_encoder(*inputs)
    strengths = torch.tensor([[0.0, 0.25, 2.0]])
    own = denoiser.sketch_encoder(*inputs, strengths)
    for each, of_all in zip([*own.skips, own.middle], [*whole.skips, whole.middle], strict=True):
        assert torch.equal(each, of_all * strengths.view(3, 1, 1, 1)) and of_all.any()
    same = replace(denoiser, sketch_strength=torch.full((1, FRAMES), 0.6))
    assert torch.equal(same(z, T), denoiser(z, T))
    none = replace(denoiser, sketch_strength=torch.zeros(1, FRAMES))
    assert relative_error(none(z, T), replace(denoiser, hints=None)(z, T)) < 1e-5


def test_one_number_for_each_frame_rounds_as_one_for_all() -> None:
    maps = torch.randn(2, 3, 4, 4).half()
    assert torch.equal(scaled(maps, torch.full((2,), 0.6)), maps * 0.6)
    assert scaled(maps, torch.tensor([0.6, 0.1])).dtype == torch.float16


def test_hints_count(denoiser: GuidedDenoiser, z: Tensor) -> None:
    assert relative_error(replace(denoiser, hints=None)(z, T), denoiser(z, T)) > 1e-3
