"""The loop, with players that are small enough to be reckoned by hand."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from accelerate import Accelerator
from PIL import Image
from safetensors.torch import load_file
from torch import nn
from toy_training import START, Drawn, Nearest, Numbers, column, go, settings, state_of, toy

from tooncrafter_core.training.run import engine, export
from tooncrafter_core.training.run.engine import CHECKPOINT, DivergedError, Run, learning_rate
from tooncrafter_core.training.run.task import Loss


def test_the_passes_of_a_step_are_one_large_batch(tmp_path: Path) -> None:
    ends = []
    for batch in (4, 2, 1):
        player, output = Nearest(), tmp_path / str(batch)
        go(toy(player), settings(output, batch=batch, accumulate=4 // batch))
        assert player.numbers == [Drawn()[n] for n in range(16)]
        assert player.steps == sorted([0, 1, 2, 3] * (4 // batch))
        ends.append((player.weight.tolist(), column(output, "distance"), column(output, "player0_gradient")))
        assert column(output, "skipped")[-1] == sum(Drawn()[n] > 0.5 for n in range(16))
    for end in ends[1:]:
        for found, whole in zip(end, ends[0], strict=True):
            assert found == pytest.approx(whole, rel=1e-5)


def test_every_pass_has_randomness_of_its_own(tmp_path: Path) -> None:
    first, again, other = Nearest(), Nearest(), Nearest()
    go(toy(first), settings(tmp_path / "first", accumulate=2))
    go(toy(again), settings(tmp_path / "again", accumulate=2))
    go(toy(other), settings(tmp_path / "other", accumulate=2, seed=1))
    assert len(set(first.drawn)) == 8
    assert first.drawn == again.drawn
    assert not {*first.drawn} & {*other.drawn}


def test_learning_rate(tmp_path: Path) -> None:
    def rates(**changes: Any) -> list[float]:
        chosen = settings(tmp_path, learning_rate=0.5, **changes)
        return [2 * learning_rate(chosen, step) for step in range(chosen.steps)]

    assert rates(steps=10, warm_up=3, cool_down=4) == pytest.approx([0.25, 0.5, 0.75, 1, 1, 1, 0.8, 0.6, 0.4, 0.2])
    assert rates(steps=3) == [1, 1, 1]
    assert rates(steps=4, warm_up=2, cool_down=2) == pytest.approx([1 / 3, 2 / 3, 2 / 3, 1 / 3])


@pytest.mark.parametrize(("warm_up", "length"), [(0, 0.1), (1, 0.05), (3, 0.025)])
def test_the_learning_rate_is_applied(warm_up: int, length: float, tmp_path: Path) -> None:
    """Adam's first step is as long as the learning rate, whatever the gradient is."""
    player = Nearest()
    go(toy(player), settings(tmp_path, warm_up=warm_up))
    assert (player.weights[1] - player.weights[0]).abs().tolist() == pytest.approx([length] * 3, rel=1e-4)


def test_every_player_ends_with_the_cool_down(tmp_path: Path) -> None:
    """One that begins late, too."""
    late = Nearest(begins=2)
    go(toy(Nearest(), late), settings(tmp_path, cool_down=3))
    assert late.steps == [2, 3]
    for contestant in state_of(tmp_path)["contestants"].values():
        (optimiser,) = contestant["optimisers"]
        assert optimiser["param_groups"][0]["lr"] == pytest.approx(0.1 / 4)


def test_a_finished_run_goes_on_when_it_gets_more_steps(tmp_path: Path) -> None:
    at_once, longer, idle = (Nearest(noise=0.3) for _ in range(3))
    go(toy(at_once), settings(tmp_path / "a"))
    go(toy(Nearest(noise=0.3)), settings(tmp_path / "b", steps=2))
    go(toy(longer), settings(tmp_path / "b"))
    assert torch.equal(longer.weight, at_once.weight)
    assert (tmp_path / "a" / "metrics.csv").read_bytes() == (tmp_path / "b" / "metrics.csv").read_bytes()
    go(toy(idle), settings(tmp_path / "b"))
    assert not idle.steps
    assert torch.equal(idle.weight, longer.weight)


def test_a_finished_run_writes_a_checkpoint_that_was_taken_away(tmp_path: Path) -> None:
    trained = go(toy(Nearest()), settings(tmp_path))
    (tmp_path / CHECKPOINT).unlink()
    again = go(toy(idle := Nearest()), settings(tmp_path))
    assert not idle.steps
    assert torch.equal(again["weight"], trained["weight"])


def test_players_take_their_steps_in_turn(tmp_path: Path) -> None:
    """What the first one's loss does to the second one's gradients is forgotten before the second one's turn."""

    class Touching(Nearest):
        def forward(self, batch: Numbers, generator: torch.Generator, step: int) -> Loss:
            loss = super().forward(batch, generator, step)
            return Loss(loss.total + 100 * touched.weight.sum(), {})

    touched, alone = Nearest(), Nearest()
    go(toy(Touching(), touched), settings(tmp_path / "both"))
    go(toy(alone), settings(tmp_path / "alone"))
    assert torch.equal(touched.weight, alone.weight)


def test_a_late_player_keeps_still_before(tmp_path: Path) -> None:
    late = Nearest(begins=2)
    go(toy(Nearest(), late), settings(tmp_path, steps=2))
    assert late.weight.tolist() == [START] * 3
    assert "player1_gradient" not in (tmp_path / "metrics.csv").read_text()
    go(toy(Nearest(), late), settings(tmp_path, steps=3))
    assert late.weight.tolist() != [START] * 3
    gradients = column(tmp_path, "player1_gradient")
    assert [gradient > 0 for gradient in gradients] == [False, False, True]


def test_the_checkpoint_has_the_averages_and_the_state_the_weights(tmp_path: Path) -> None:
    player = Nearest()
    averaged = go(toy(player), settings(tmp_path, ema=0.9))["weight"]
    assert torch.equal(state_of(tmp_path)["contestants"]["player0"]["parameters"][0], player.weight)
    assert torch.equal(state_of(tmp_path)["ema"]["averages"]["weight"], averaged)
    assert not torch.allclose(averaged, player.weight, atol=1e-3)
    strip = Image.open(tmp_path / "strips" / "0000004.png")
    assert strip.getpixel((0, 0))[0] == round(255 * float(averaged.mean())), "strips show the averages too"


def test_files_of_every_step_that_is_due(tmp_path: Path) -> None:
    go(toy(Nearest()), settings(tmp_path, steps=5, sample_every=2))
    assert [path.name for path in sorted((tmp_path / "strips").iterdir())] == [
        f"000000{step}.png" for step in (2, 4, 5)
    ]
    assert state_of(tmp_path)["step"] == 5
    assert not list(tmp_path.glob("**/unfinished-*"))
    assert len(list(tmp_path.glob("events.out.tfevents.*"))) == 1


@pytest.mark.parametrize(("module", "name"), [(torch, "save"), (export, "save_file")])
def test_breaking_off_while_saving_leaves_the_last_files_whole(
    module: Any, name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    go(toy(Nearest()), settings(tmp_path, steps=2))
    before = (tmp_path / "model.safetensors").read_bytes()

    def fill_the_disk(content: Any, path: Path, *others: Any) -> None:
        path.write_bytes(b"half of it")
        raise OSError("no space left on device")

    with monkeypatch.context() as patch, pytest.raises(OSError, match="no space"):
        patch.setattr(module, name, fill_the_disk)
        go(toy(Nearest()), settings(tmp_path))
    assert state_of(tmp_path)["step"] == 2
    assert ((tmp_path / "model.safetensors").read_bytes() == before) == (name == "save_file")
    assert load_file(tmp_path / "model.safetensors").keys() == {"weight"}

    resumed, at_once = Nearest(), Nearest()
    go(toy(resumed), settings(tmp_path))
    go(toy(at_once), settings(tmp_path / "at_once"))
    assert torch.equal(resumed.weight, at_once.weight)


def test_nothing_to_train(tmp_path: Path) -> None:
    player = Nearest().requires_grad_(False)
    assert go(toy(player), settings(tmp_path / "run"))["weight"].tolist() == [START] * 3
    assert [path.name for path in (tmp_path / "run").iterdir()] == [engine.CHECKPOINT]
    assert not player.steps


def test_a_step_that_comes_to_nan_keeps_what_was_saved(tmp_path: Path) -> None:
    class Failing(Nearest):
        def forward(self, batch: Numbers, generator: torch.Generator, step: int) -> Loss:
            loss = super().forward(batch, generator, step)
            return loss._replace(total=loss.total * (torch.nan if step == 3 else 1))

    go(toy(Nearest()), settings(tmp_path / "whole", steps=2))
    with pytest.raises(
        DivergedError, match=r"after 3 steps the gradient of player0 came to NaN .* smaller learning_rate"
    ):
        go(toy(Failing()), settings(tmp_path))
    assert state_of(tmp_path)["step"] == 2
    assert (tmp_path / "model.safetensors").read_bytes() == (tmp_path / "whole" / "model.safetensors").read_bytes()


def test_a_checkpoint_of_nan_does_not_replace_a_good_one(tmp_path: Path) -> None:
    go(toy(Nearest()), settings(tmp_path, steps=2))
    before = (tmp_path / "model.safetensors").read_bytes()
    broken = replace(toy(Nearest()), checkpoint=lambda: {"weight": torch.full((3,), torch.nan)})
    with pytest.raises(DivergedError, match="weight and 0 more tensors of the checkpoint"):
        go(broken, settings(tmp_path))
    assert (tmp_path / "model.safetensors").read_bytes() == before
    assert state_of(tmp_path)["step"] == 2


def test_batches_that_memory_cannot_hold_are_refused_before_the_first_step(tmp_path: Path) -> None:
    for more in ({"batch": 10**9, "accumulate": 10**9}, {"steps": 10**9, "batch": 10**9, "accumulate": 10**6}):
        with pytest.raises(ValueError, match=r"1000000000 samples, .* are free\. Choose a smaller batch"):
            go(toy(Nearest()), settings(tmp_path, **more))


def test_a_long_run_begins_at_once(tmp_path: Path) -> None:
    """Nothing is made of all its steps beforehand."""
    player = Nearest()
    run = Run(toy(player), settings(tmp_path, steps=10**9, batch=3, save_every=10**9), Accelerator(cpu=True))
    with torch.enable_grad():
        run.go(seconds=0)
    assert player.numbers == [Drawn()[n] for n in range(3)]


def test_a_reader_that_was_ended_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def ended(*_: object) -> None:
        raise RuntimeError("DataLoader worker (pid 7) is killed by signal: Killed. ")

    monkeypatch.setattr(engine, "DataLoader", lambda *_, **__: map(ended, [0]))
    with pytest.raises(ChildProcessError, match=r"worker \(pid 7\) .* goes on from its last state"):
        go(toy(Nearest()), settings(tmp_path))


@pytest.mark.parametrize(("precision", "inside"), [("no", torch.float32), ("bf16", torch.bfloat16)])
def test_precision_is_that_of_the_layers_and_not_of_the_weights(
    precision: str, inside: torch.dtype, tmp_path: Path
) -> None:
    seen: list[torch.dtype] = []

    class Layered(Nearest):
        def __init__(self) -> None:
            super().__init__()
            self.layer = nn.Linear(3, 3)

        def forward(self, batch: Numbers, generator: torch.Generator, step: int) -> Loss:
            loss = super().forward(batch, generator, step)
            out = self.layer(self.weight)
            seen.append(out.dtype)
            return Loss(loss.total + out.float().square().mean(), loss.parts)

    player, chosen = Layered(), settings(tmp_path, precision=precision)
    with torch.enable_grad():
        Run(toy(player), chosen, Accelerator(cpu=True, mixed_precision=precision)).go()
    assert {*seen} == {inside}
    state = state_of(tmp_path)["contestants"]["player0"]
    assert {parameter.dtype for parameter in state["parameters"]} == {torch.float32}
