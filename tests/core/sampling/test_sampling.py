"""The schedule's conversions, the sampler and guidance, without any model."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest
import torch
from torch import Tensor

from tooncrafter_core.finite import NotFiniteError
from tooncrafter_core.sampling.ddim import DDIMStep, Walk, ddim
from tooncrafter_core.sampling.guidance import guide
from tooncrafter_core.sampling.schedule import Schedule

SCHEDULE = Schedule.published()
SHAPE = (2, 4, 3, 5, 6)


def draw(seed: int) -> Tensor:
    return torch.randn(SHAPE, generator=torch.Generator().manual_seed(seed))


def noises(seed: int = 7) -> Callable[[], Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return lambda: torch.randn(SHAPE, generator=generator)


def no_noise() -> Tensor:
    raise AssertionError("noise was drawn")


def close(a: Tensor, b: Tensor) -> bool:
    return torch.allclose(a, b, rtol=1e-4, atol=1e-4)


def noised(x0: Tensor, eps: Tensor, t: int) -> Tensor:
    """z at timestep t, by the definition."""
    return float(SCHEDULE.alphas_bar[t].sqrt() * SCHEDULE.rescale[t]) * x0 + SCHEDULE.noise(t) * eps


def oracle(x0: Tensor) -> Callable[[Tensor, int], Tensor]:
    """A model that knows the clean latent."""
    return lambda z, t: SCHEDULE.velocity(z, x0, t)


def towards_a_sine(z: Tensor, t: int) -> Tensor:
    """Some model whose answer depends on both of its arguments."""
    return torch.sin(3 * z + t / 100)


@pytest.mark.parametrize("t", [0, 1, 19, 399, 400, 500, 998, 999])
def test_split_velocity_and_noising_are_each_others_way_back(t: int) -> None:
    x0, eps = draw(0), draw(1)
    z = noised(x0, eps, t)
    v = float(SCHEDULE.alphas_bar[t].sqrt()) * eps - SCHEDULE.noise(t) * float(SCHEDULE.rescale[t]) * x0
    back = SCHEDULE.split(z, v, t)
    assert close(back[0], x0)
    assert close(back[1], eps)
    assert close(SCHEDULE.split(z, SCHEDULE.velocity(z, x0, t), t)[0], x0)


def test_training_pairs_are_what_sampling_undoes() -> None:
    """z and v of a batch, each row at its own timestep."""
    timesteps = [0, 19, 399, 400, 998, 999]
    x0, eps = (torch.randn(len(timesteps), *SHAPE[1:], generator=torch.Generator().manual_seed(i)) for i in range(2))
    z, v = SCHEDULE.noisy_and_velocity(x0, eps, torch.tensor(timesteps))
    assert z.shape == v.shape == x0.shape
    for row, t in enumerate(timesteps):
        assert close(z[row], noised(x0[row], eps[row], t))
        back = SCHEDULE.split(z[row], v[row], t)
        assert close(back[0], x0[row])
        assert close(back[1], eps[row])
    assert torch.equal(z[-1], eps[-1]), "the last timestep has no signal"
    assert close(v[-1], -0.7 * x0[-1])


def test_the_last_timestep_is_pure_noise() -> None:
    eps = draw(1)
    assert torch.equal(noised(draw(0), eps, 999), eps)
    assert SCHEDULE.alphas_bar[-1] == 0


def test_the_rescale_falls_for_400_steps() -> None:
    assert SCHEDULE.rescale[0] == 1
    assert (SCHEDULE.rescale[:400].diff() < 0).all()
    assert torch.allclose(SCHEDULE.rescale[399:], torch.tensor(0.7))


def test_trailing_timesteps() -> None:
    assert SCHEDULE.trailing_timesteps(1) == [999]
    assert SCHEDULE.trailing_timesteps(4) == [999, 749, 499, 249]
    assert SCHEDULE.trailing_timesteps(1000) == list(range(999, -1, -1))


@pytest.mark.parametrize("steps", [0, -1, 1001])
def test_impossible_numbers_of_steps(steps: int) -> None:
    with pytest.raises(ValueError, match=f"steps is {steps}; expected 1 to 1000"):
        SCHEDULE.trailing_timesteps(steps)


@pytest.mark.parametrize("eta", [0.0, 0.5, 1.0])
def test_a_model_that_knows_the_answer_is_led_to_it(eta: float) -> None:
    x0, steps = draw(0), list[DDIMStep]()
    timesteps = SCHEDULE.trailing_timesteps(50)
    out = ddim(oracle(x0), draw(2), Walk(SCHEDULE, timesteps, eta), noises(), steps.append)
    assert all(close(step.denoised, x0) for step in steps)
    assert (out - x0 * SCHEDULE.rescale[timesteps[-1]]).std() < 0.05


def test_the_last_step_keeps_its_own_rescale() -> None:
    """And ends at the noise level of timestep 0."""
    x0, z = draw(0), draw(2)
    _, eps = SCHEDULE.split(z, SCHEDULE.velocity(z, x0, 200), 200)
    expected = float(SCHEDULE.alphas_bar[0].sqrt() * SCHEDULE.rescale[200]) * x0 + SCHEDULE.noise(0) * eps
    assert close(ddim(oracle(x0), z, Walk(SCHEDULE, [200], 0.0), no_noise), expected)


@pytest.mark.parametrize("eta", [0.0, 1.0])
def test_a_clean_walk_ends_in_the_last_estimate(eta: float) -> None:
    """And draws as much noise as the published one."""
    steps, noise = list[DDIMStep](), noises()
    drawn = []
    walk = Walk(SCHEDULE, SCHEDULE.trailing_timesteps(5), eta, clean_end=True)
    out = ddim(towards_a_sine, draw(2), walk, lambda: drawn.append(None) or noise(), steps.append)
    assert close(out, steps[-1].denoised)
    assert len(drawn) == (5 if eta else 0)


def test_opposite_noises_cancel_in_an_averaged_end() -> None:
    """Where the estimate is linear in the latents, nothing of the last noise is left in it."""

    def ended(seed: int, steps: int, averaged: bool) -> tuple[Tensor, list[int]]:
        called, noise = list[int](), [draw(100 + step) for step in range(steps - 2)] + [draw(seed), draw(seed + 1)]

        def half(z: Tensor, t: int) -> Tensor:
            called.append(t)
            return SCHEDULE.velocity(z, z / 2, t)

        walk = Walk(SCHEDULE, SCHEDULE.trailing_timesteps(steps), 1.0, clean_end=True, averaged_end=averaged)
        return ddim(half, draw(2), walk, iter(noise).__next__), called

    for steps, timesteps in ((2, [999, 499, 499]), (4, [999, 749, 499, 249, 249])):
        one, called = ended(200, steps, averaged=True)
        other, _ = ended(300, steps, averaged=True)
        assert close(one, other) and called == timesteps
        assert not close(ended(200, steps, averaged=False)[0], ended(300, steps, averaged=False)[0])


@pytest.mark.parametrize("eta", [0.0, 1.0])
def test_an_averaged_end_is_the_mean_of_the_last_estimates(eta: float) -> None:
    seen, published = list[Tensor](), list[DDIMStep]()

    def model(z: Tensor, t: int) -> Tensor:
        v = towards_a_sine(z, t)
        seen.append(SCHEDULE.split(z, v, t)[0])
        return v

    walk = Walk(SCHEDULE, SCHEDULE.trailing_timesteps(5), eta, clean_end=True, averaged_end=True)
    out = ddim(model, draw(2), walk, noises())
    assert close(out, torch.stack(seen[-3 if eta else -2 :]).mean(dim=0))
    ddim(towards_a_sine, draw(2), replace(walk, averaged_end=False), noises(), published.append)
    assert torch.equal(published[-2].denoised, seen[3]), "up to the last step nothing is different"


def test_a_single_step_has_nothing_to_average() -> None:
    walk = Walk(SCHEDULE, [999], 1.0)
    outs = [ddim(towards_a_sine, draw(2), replace(walk, averaged_end=averaged), noises()) for averaged in (False, True)]
    assert torch.equal(*outs)


def test_eta_0_draws_no_noise() -> None:
    ddim(towards_a_sine, draw(2), Walk(SCHEDULE, SCHEDULE.trailing_timesteps(5), 0.0), no_noise)


def test_more_eta_is_more_noise_and_one_draw_each_step() -> None:
    calls = list[int]()

    def noise() -> Tensor:
        calls.append(1)
        return draw(100 + len(calls))

    timesteps = SCHEDULE.trailing_timesteps(5)
    outs = [ddim(towards_a_sine, draw(2), Walk(SCHEDULE, timesteps, eta), noise) for eta in (0.0, 0.5, 1.0)]
    assert len(calls) == 10
    assert 0 < (outs[1] - outs[0]).norm() < (outs[2] - outs[0]).norm()


def test_the_callback_follows_the_steps() -> None:
    steps, called = list[DDIMStep](), list[int]()

    def model(z: Tensor, t: int) -> Tensor:
        assert len(steps) == len(called), "the callback of the step before came late"
        called.append(t)
        return towards_a_sine(z, t)

    timesteps = SCHEDULE.trailing_timesteps(7)
    out = ddim(model, draw(2), Walk(SCHEDULE, timesteps, 1.0), noises(), steps.append)
    assert called == timesteps == [step.timestep for step in steps]
    assert [step.index for step in steps] == list(range(7))
    assert torch.equal(out, steps[-1].latents)


@pytest.mark.parametrize("begin", [1, 3, 6])
def test_partial_denoising_goes_on_where_a_whole_run_was(begin: int) -> None:
    timesteps, steps = SCHEDULE.trailing_timesteps(7), list[DDIMStep]()
    whole = ddim(towards_a_sine, draw(2), Walk(SCHEDULE, timesteps, 0.0), no_noise, steps.append)
    middle = steps[begin - 1].latents
    assert torch.equal(ddim(towards_a_sine, middle, Walk(SCHEDULE, timesteps[begin:], 0.0), no_noise), whole)


def test_partial_denoising_of_a_noised_picture() -> None:
    x0, timesteps = draw(0), SCHEDULE.trailing_timesteps(10)[6:]
    z = noised(x0, draw(1), timesteps[0])
    out = ddim(oracle(x0), z, Walk(SCHEDULE, timesteps, 0.0), no_noise)
    rescaled = x0 * SCHEDULE.rescale[timesteps[-1]]
    assert (out - rescaled).norm() < 0.1 * (z - rescaled).norm()


def test_no_timesteps_change_nothing() -> None:
    z = draw(0)
    assert torch.equal(ddim(towards_a_sine, z, Walk(SCHEDULE, [], 1.0), no_noise), z)


def test_guidance_without_rescale() -> None:
    conditional, unconditional = draw(0), draw(1)
    expected = unconditional + 7.5 * (conditional - unconditional)
    assert close(guide(conditional, unconditional, 7.5, 0.0), expected)


@pytest.mark.parametrize("rescale", [0.0, 0.7, 1.0])
def test_scale_1_is_no_guidance(rescale: float) -> None:
    conditional = draw(0)
    assert close(guide(conditional, draw(1), 1.0, rescale), conditional)


def test_rescale_brings_back_the_deviation_of_each_row() -> None:
    conditional, unconditional = draw(0) * torch.tensor([1.0, 3.0]).view(2, 1, 1, 1, 1), draw(1)
    axes = (1, 2, 3, 4)
    plain = guide(conditional, unconditional, 7.5, 0.0)
    whole, part = (guide(conditional, unconditional, 7.5, rescale) for rescale in (1.0, 0.7))
    assert close(whole.std(dim=axes), conditional.std(dim=axes))
    assert close(part, 0.7 * whole + 0.3 * plain)
    assert not close(plain.std(dim=axes), conditional.std(dim=axes))


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_step_that_is_not_finite_is_named(value: float) -> None:
    schedule, calls = Schedule.published(), list[int]()
    timesteps = schedule.trailing_timesteps(5)

    def overflows(z: Tensor, t: int) -> Tensor:
        calls.append(t)
        v = torch.zeros_like(z)
        if len(calls) == 3:
            v[0, 0, 0, 0, 1] = value
        return v

    with pytest.raises(
        NotFiniteError, match=rf"Step 3 of 5 \(timestep {timesteps[2]}\) .* bfloat16 or float32, .*"
    ) as error:
        ddim(overflows, torch.randn(1, 4, 2, 2, 2), Walk(schedule, timesteps, 0.0), lambda: torch.zeros(()))
    assert calls == timesteps[:3]
    assert error.value.model == "U-Net"
