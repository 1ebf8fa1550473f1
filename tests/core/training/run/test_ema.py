"""The average of the weights."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from tooncrafter_core.training.run.ema import EMA


def module(value: float) -> nn.Linear:
    made = nn.Linear(1, 1)
    nn.init.constant_(made.weight, value)
    nn.init.constant_(made.bias, -value)
    return made


def set_weight(made: nn.Linear, value: float) -> None:
    nn.init.constant_(made.weight, value)


def test_arithmetic() -> None:
    """Decays 1/10, 2/11, 3/12, ... until the wanted one, 0.25, is reached."""
    made = module(1.0)
    ema = EMA(made, 0.25)
    average = 1.0
    for value, decay in ((2.0, 1 / 10), (5.0, 2 / 11), (-3.0, 0.25), (4.0, 0.25)):
        set_weight(made, value)
        ema.update()
        average = decay * average + (1 - decay) * value
        with ema.applied():
            assert float(made.weight) == pytest.approx(average, rel=1e-6)
        assert float(made.weight) == value


def test_no_decay_is_the_weights_themselves() -> None:
    made = module(1.0)
    ema = EMA(made, 0.0)
    set_weight(made, 7.0)
    ema.update()
    with ema.applied():
        assert float(made.weight) == 7


def test_what_does_not_train_is_let_alone() -> None:
    made = module(1.0)
    made.bias.requires_grad_(False)
    ema = EMA(made, 0.9)
    made.bias.fill_(3.0)
    with ema.applied():
        assert float(made.bias) == 3
    assert ema.state_dict()["averages"].keys() == {"weight"}


def test_the_weights_come_back_after_an_error() -> None:
    made = module(1.0)
    ema = EMA(made, 0.9)
    set_weight(made, 2.0)
    with pytest.raises(RuntimeError, match="in the middle"), ema.applied():
        raise RuntimeError("in the middle")
    assert float(made.weight) == 2


def test_it_goes_on_from_its_state() -> None:
    made, other = module(1.0), module(1.0)
    ema, again = EMA(made, 0.99), EMA(other, 0.99)
    for value in (2.0, 3.0):
        set_weight(made, value)
        ema.update()
    again.load_state_dict(ema.state_dict())
    for average in (ema, again):
        set_weight(made, 9.0)
        set_weight(other, 9.0)
        average.update()
    with ema.applied(), again.applied():
        assert torch.equal(made.weight, other.weight)


def test_half_precision_is_averaged_in_float32() -> None:
    made = module(1.0).half()
    ema = EMA(made, 0.999)
    for _ in range(20):
        ema.update()
    averages = ema.state_dict()["averages"]
    assert averages["weight"].dtype == torch.float32
