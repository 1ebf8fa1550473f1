"""From pictures to frames: several segments, sketches, and what the settings change."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import Any

import pytest
import torch
from comparison import relative_error
from torch import Tensor

from tooncrafter_core import Settings, Sketch, ToonCrafter, interpolate
from tooncrafter_core.models.vae.autoencoder import reference_pairs
from tooncrafter_core.pipeline import draw_run, draw_segments
from tooncrafter_core.sampling.coarse_to_fine import Run
from tooncrafter_core.sampling.ddim import DDIMStep
from tooncrafter_core.sampling.schedule import Schedule
from tooncrafter_core.timeline import keyframe_condition

NAN = float("nan")
SCHEDULE = Schedule.published()
SETTINGS = Settings(width=32, height=24, steps=2, frames=3)
LOOP = replace(SETTINGS, loop=True)
draw = partial(interpolate, settings=SETTINGS)


@pytest.fixture(scope="module")
def keyframes() -> Tensor:
    """Three smooth pictures of another size."""
    small = torch.rand(3, 3, 3, 4, generator=torch.Generator().manual_seed(1))
    return torch.nn.functional.interpolate(small, size=(45, 70), mode="bilinear")


@pytest.fixture(scope="module")
def frames(tiny: ToonCrafter, keyframes: Tensor) -> Tensor:
    """Of all three."""
    return draw(tiny, keyframes)


def line() -> Tensor:
    """A drawing: black on white."""
    page = torch.ones(3, 45, 70)
    page[:, ::6] = 0
    return page


def test_frames_of_two_segments(frames: Tensor) -> None:
    assert frames.shape == (5, 3, 24, 32)
    assert frames.dtype == torch.float32
    assert frames.device.type == "cpu"
    assert frames.min() >= 0 and frames.max() <= 1
    assert (frames.flatten(1).std(dim=1) > 0.02).all(), "a frame of one colour"
    assert all(relative_error(a, b) > 1e-3 for a, b in zip(frames[1:], frames[:-1], strict=True)), "nothing moves"


@pytest.mark.parametrize("chosen", [[], [2], [0, 2], [-1], ["0"], [0.0], "0", None, 0, [None], [[0]]], ids=str)
def test_segments_that_are_not_there(chosen: Any, tiny: ToonCrafter, keyframes: Tensor) -> None:
    with pytest.raises(ValueError, match=r"^chosen are segments .*; expected one or more of 0 to 1$"):
        draw_segments(tiny, keyframes, chosen, SETTINGS)


@pytest.mark.parametrize(("frames", "number", "last"), [(3, 1, 0), (17, 3, 2), (17, -1, 2)])
def test_runs_that_are_not_there(frames: int, number: int, last: int, tiny: ToonCrafter, keyframes: Tensor) -> None:
    with pytest.raises(ValueError, match=f"^run {number} of segment 0 is not there; expected 0 to {last}$"):
        draw_run(tiny, keyframes, Run(0, number), replace(SETTINGS, frames=frames))


def test_a_run_can_be_repeated(tiny: ToonCrafter, keyframes: Tensor, frames: Tensor) -> None:
    torch.manual_seed(123)
    assert torch.equal(draw(tiny, keyframes), frames)


def test_segments_do_not_see_one_another(tiny: ToonCrafter, keyframes: Tensor, frames: Tensor) -> None:
    """The first segment is the same whatever comes after it, but for what the random generator gave."""
    settings = replace(SETTINGS, eta=0.0)
    other = torch.cat([keyframes[:2], keyframes[:1]])
    both = [draw(tiny, batch, settings=settings) for batch in (keyframes, other)]
    assert relative_error(both[0][:2], both[1][:2]) < 1e-5
    assert relative_error(both[0][3:], both[1][3:]) > 1e-2


@pytest.mark.parametrize(
    "change",
    [
        {"prompt": "a boy jumps"},
        {"negative_prompt": "blurry"},
        {"prompt": "cat " * 100},
        {"frame_rate": 24},
        {"guidance_scale": 1.0},
        {"guidance_rescale": 0.0},
        {"guidance_from": 0.2},
        {"guidance_to": 0.2},
        {"eta": 0.0},
        {"seed": 1},
        {"steps": 3},
    ],
    ids=str,
)
def test_every_setting_counts(change: dict[str, Any], tiny: ToonCrafter, keyframes: Tensor, frames: Tensor) -> None:
    changed = draw(tiny, keyframes, settings=replace(SETTINGS, **change))
    assert changed.shape == frames.shape
    assert relative_error(changed, frames) > 1e-4


def test_two_passes_count(tiny: ToonCrafter, keyframes: Tensor) -> None:
    settings = replace(SETTINGS, steps=1, frames=6)
    twice, once = (draw(tiny, keyframes[:2], settings=replace(settings, two_pass=flag)) for flag in (True, False))
    assert [torch.equal(a, b) for a, b in zip(once, twice, strict=True)] == [True, True, False, False, True, True]


def test_sketches_count(tiny: ToonCrafter, keyframes: Tensor, frames: Tensor) -> None:
    one, other = draw(tiny, keyframes, sketches={1: line()}), draw(tiny, keyframes, sketches={3: line()})
    assert relative_error(one, frames) > 1e-3
    assert relative_error(one, other) > 1e-3
    assert torch.equal(draw(tiny, keyframes, sketches={}), frames)


def test_both_polarities_of_a_sketch_are_the_same(tiny: ToonCrafter, keyframes: Tensor) -> None:
    one, other = draw(tiny, keyframes, sketches={1: line()}), draw(tiny, keyframes, sketches={1: 1 - line()})
    assert relative_error(one, other) < 1e-4


def test_sketches_have_strengths_of_their_own(tiny: ToonCrafter, keyframes: Tensor) -> None:
    plain = draw(tiny, keyframes, sketches={1: line(), 3: line()})
    same = draw(tiny, keyframes, sketches={1: Sketch(line(), SETTINGS.sketch_strength), 3: line()})
    assert torch.equal(plain, same)
    stronger = draw(tiny, keyframes, sketches={1: line(), 3: Sketch(line(), 2.0)})
    assert relative_error(stronger[3], plain[3]) > 1e-3
    with pytest.raises(ValueError, match="strength of a sketch is 11; expected 0 to 10"):
        Sketch(line(), 11)


def test_polarity_can_be_told(tiny: ToonCrafter, keyframes: Tensor) -> None:
    told = draw(tiny, keyframes, sketches={1: Sketch(line(), polarity="dark on light")})
    assert torch.equal(told, draw(tiny, keyframes, sketches={1: line()}))
    other = draw(tiny, keyframes, sketches={1: Sketch(line(), polarity="light on dark")})
    assert relative_error(other, told) > 1e-4


def test_sketches_of_strength_0_do_nothing(tiny: ToonCrafter, keyframes: Tensor, frames: Tensor) -> None:
    settings = replace(SETTINGS, sketch_strength=0.0)
    assert relative_error(draw(tiny, keyframes, settings=settings, sketches={1: line()}), frames) < 1e-5


def test_the_callback_sees_every_step(tiny: ToonCrafter, keyframes: Tensor) -> None:
    steps = list[DDIMStep]()
    draw(tiny, keyframes, callback=steps.append)
    assert [step.index for step in steps] == [0, 1]
    assert all(step.latents.shape == step.denoised.shape == (6, 4, 3, 4) for step in steps)


def test_keyframes_may_have_any_sizes(tiny: ToonCrafter, keyframes: Tensor) -> None:
    """Each is fitted by itself, so cutting the last one to size beforehand changes nothing."""
    others, last = list(keyframes[:-1]), torch.rand(3, 24, 32)
    wider = torch.nn.functional.pad(last, (8, 8), value=0.3)
    assert torch.equal(draw(tiny, [*others, wider]), draw(tiny, [*others, last]))


def test_grey_and_transparent_keyframes(tiny: ToonCrafter) -> None:
    grey, colours, alpha = torch.rand(1, 24, 32), torch.rand(3, 24, 32), (torch.rand(1, 24, 32) > 0.5).float()
    on_white = torch.where(alpha > 0, colours, 1.0)
    plain = draw(tiny, [grey.expand(3, -1, -1), on_white])
    assert torch.equal(draw(tiny, [grey, torch.cat([colours, alpha])]), plain)


def test_a_size_between_latents(tiny: ToonCrafter, keyframes: Tensor) -> None:
    """Work is done at the next multiples of 8; what comes out has the size asked for."""
    seen: list[torch.Size] = []
    hook = tiny.autoencoder.encoder.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0].shape[-2:]))
    try:
        out = draw(tiny, keyframes, settings=replace(SETTINGS, width=29, height=17), sketches={1: line()})
    finally:
        hook.remove()
    assert out.shape == (5, 3, 17, 29)
    assert seen == [(24, 32)] * 3


def test_a_loop_ends_before_it_would_begin_again(tiny: ToonCrafter, keyframes: Tensor) -> None:
    first, last = keyframes[:2]
    loop = draw(tiny, [first, last], settings=LOOP, sketches={0: line(), 3: line()})
    there_and_back = draw(tiny, [first, last, first], sketches={0: line(), 3: line(), 4: line()})
    assert torch.equal(loop, there_and_back[:-1])


def test_a_loop_of_one_keyframe(tiny: ToonCrafter, keyframes: Tensor) -> None:
    assert torch.equal(draw(tiny, keyframes[:1], settings=LOOP), draw(tiny, keyframes[[0, 0]])[:-1])


def test_a_count_for_each_segment(tiny: ToonCrafter, keyframes: Tensor) -> None:
    """Both are drawn together, each in its own length and with its own rows of the noise; sketches follow."""
    assert tiny.sketch_encoder is not None
    settings = replace(SETTINGS, steps=1, frames="3, 5", guidance_scale=1, seed=4)
    seen: list[tuple[Tensor, ...]] = []
    hook = tiny.sketch_encoder.register_forward_pre_hook(lambda _, inputs: seen.append(inputs))
    try:
        out = draw(tiny, keyframes, settings=settings, sketches={4: line()})
    finally:
        hook.remove()
    assert out.shape == (7, 3, 24, 32) and (out.flatten(1).std(dim=1) > 0.02).all()
    assert [[bool(hint[0, 0, i].any()) for i in range(hint.shape[2])] for _, hint, *_ in seen] == [
        [False, False, False],
        [False, False, True, False, False],
    ]
    noise = torch.randn(8, 4, 3, 4, generator=torch.Generator().manual_seed(4))
    assert all(torch.equal(z[0].transpose(0, 1), part) for (z, *_), part in zip(seen, noise.split([3, 5]), strict=True))


@pytest.mark.parametrize("counts", ["3", (3, 3), [3]])
def test_equal_counts_are_one_count(counts: Any, tiny: ToonCrafter, keyframes: Tensor, frames: Tensor) -> None:
    assert torch.equal(draw(tiny, keyframes, settings=replace(SETTINGS, frames=counts)), frames)


def test_a_long_segment_beside_a_short_one(tiny: ToonCrafter, keyframes: Tensor) -> None:
    settings = replace(SETTINGS, steps=1, frames=(3, 17), guidance_scale=1)
    out = draw(tiny, keyframes, settings=settings)
    assert out.shape == (19, 3, 24, 32) and (out.flatten(1).std(dim=1) > 0.02).all()
    assert torch.equal(out[:2], draw(tiny, keyframes[:2], settings=replace(settings, frames=3))[:2])


class Oracle(torch.nn.Module):
    """A denoiser that knows the clean latents: the first keyframe in a segment's first half, then the last one."""

    def __init__(self, unet: torch.nn.Module) -> None:
        super().__init__()
        self.config = unet.config

    def forward(self, x: Tensor, timesteps: Tensor, *_: Any) -> Tensor:
        z, condition = x.chunk(2, dim=1)
        return SCHEDULE.velocity(z, held(condition), int(timesteps[0]))


def held(condition: Tensor) -> Tensor:
    """(b, c, t, h, w) with both keyframes held for half of the segment."""
    frames = condition.shape[2]
    return condition[:, :, [0] * (frames // 2) + [-1] * (frames - frames // 2)]


def test_joints_are_keyframes_and_nothing_fades(
    tiny: ToonCrafter, keyframes: Tensor, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With perfect latents every frame, those at the joints too, is what the decoder makes of its own segment."""
    monkeypatch.setattr(torch, "randn", lambda *shape, **_: torch.zeros(shape))  # the last step leaves some noise
    pictures = torch.nn.functional.interpolate(keyframes, size=(24, 32))
    settings = replace(SETTINGS, steps=50, frames=6, guidance_scale=1, eta=0)
    out = draw(replace(tiny, unet=Oracle(tiny.unet)), pictures, settings=settings)
    latents, features = tiny.autoencoder.encode_keyframes(pictures * 2 - 1)
    perfect = held(keyframe_condition(latents, 6))
    decoded = (tiny.autoencoder.decode_segments_twice(perfect, reference_pairs(features)) + 1) / 2
    assert out.shape == (11, 3, 24, 32)
    for frame, (segment, index) in enumerate([(0, i) for i in range(5)] + [(1, i) for i in range(6)]):
        own = relative_error(out[frame], decoded[segment, :, index].clamp(0, 1))
        assert own < 0.05, f"frame {frame} is not frame {index} of segment {segment}: {own}"
    decoder_error = (decoded[1, :, 0].clamp(0, 1) - pictures[1]).abs().mean()
    assert (out[5] - pictures[1]).abs().mean() <= 1.01 * decoder_error


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"keyframes": torch.rand(1, 3, 24, 32)}, "got 1 keyframe"),
        ({"keyframes": torch.rand(0, 3, 24, 32), "settings": LOOP}, "got 0 keyframe"),
        ({"keyframes": torch.rand(2, 5, 24, 32)}, r"\(5, 24, 32\); expected 1 .grey., 3 .RGB. or 4 .RGBA."),
        ({"keyframes": torch.rand(3, 24, 32)}, r"keyframes are of shape \(3, 24, 32\); expected a list"),
        ({"sketches": {5: line()}}, "sketch at frame 5; expected 0 to 4"),
        (
            {"settings": replace(SETTINGS, frames="3, 4, 5")},
            r"frames has 3 numbers, but 3 keyframe\(s\) make 2 segment\(s\); expected one number for all of them, or 2",
        ),
        ({"keyframes": [torch.rand(3, 24, 32), torch.full((3, 24, 32), NAN)]}, "^keyframe 2 holds NaN"),
        ({"sketches": {3: line() * NAN}}, "^the sketch at frame 3 holds NaN"),
    ],
    ids=[
        "one keyframe",
        "empty loop",
        "five channels",
        "one picture",
        "sketch",
        "counts",
        "NaN in a keyframe",
        "NaN in a sketch",
    ],
)
def test_mistakes_are_found_before_anything_runs(
    change: dict[str, Any], message: str, tiny: ToonCrafter, keyframes: Tensor
) -> None:
    def ran(*_: Any) -> None:
        raise AssertionError("a model ran")

    hooks = [model.register_forward_pre_hook(ran) for model in (tiny.text, tiny.vision, tiny.autoencoder.encoder)]
    try:
        with pytest.raises(ValueError, match=message):
            draw(**{"model": tiny, "keyframes": keyframes, **change})
    finally:
        for hook in hooks:
            hook.remove()


def test_sketches_need_their_encoder(tiny: ToonCrafter, keyframes: Tensor) -> None:
    with pytest.raises(ValueError, match=r"load sketch_encoder\.ckpt as well"):
        draw(replace(tiny, sketch_encoder=None), keyframes, sketches={1: line()})
