"""The frozen golden set is what its README says, and weights do not hide from it."""

from __future__ import annotations

import json
import re
import sys

import pytest
import torch
from comparison import compare
from golden import freeze, mutate
from golden.rule import fill, uniform, weight
from golden.sets import FROZEN, GoldenSet
from torch import Tensor

from tooncrafter_core import ToonCrafter

frozen_only = pytest.mark.parametrize("golden", ["frozen"], indirect=True)


def test_the_first_values_in_the_readme() -> None:
    rows = re.findall(r"^\| `(\S+)` \| (\[[\d, ]+\]) \| (-?0.*|1.*) \|$", (FROZEN / "README.md").read_text(), re.M)
    assert len(rows) == 5
    for name, shape, values in rows:
        expected = [float(value) for value in values.split(", ")]
        assert weight(name, json.loads(shape)).flatten()[:3].tolist() == pytest.approx(expected, abs=1e-7)


def test_values_are_spread_evenly() -> None:
    values = uniform("any name", (100, 1000))
    assert values.min() >= -1 and values.max() < 1
    assert abs(values.mean()) < 0.01 and abs((values**2).mean() - 1 / 3) < 0.01
    assert not (uniform("another name", (100, 1000)) == values).any()


def test_the_schedule_stays() -> None:
    state = {"betas": torch.zeros(3), "layer.weight": torch.zeros(3), "layer.bias": torch.zeros(3)}
    fill(state)
    assert not state["betas"].any()
    assert (state["layer.weight"] > 0.7).all() and state["layer.bias"].abs().max() < 0.51


def test_vectors_that_are_not_there_do_not_pass() -> None:
    with pytest.raises(AssertionError, match="no vector has a name that is looked for"):
        compare({}, {}, 1.0)


def test_the_set_is_small() -> None:
    assert sum(file.stat().st_size for file in FROZEN.iterdir() if file.is_file()) <= 2_000_000


@frozen_only
def test_names_and_shapes_are_of_the_sizes(golden: GoldenSet) -> None:
    assert freeze.named_shapes(golden.sizes) == json.loads((FROZEN / "tensors.json").read_text())


@frozen_only
def test_the_set_is_not_written_over(golden: GoldenSet, monkeypatch: pytest.MonkeyPatch) -> None:
    file = FROZEN / "vectors.safetensors"
    before = file.read_bytes()
    monkeypatch.setattr(sys, "argv", ["freeze.py"])
    monkeypatch.setattr(freeze, "computed", lambda: {"text.tokens": golden.vectors["text.tokens"]})
    assert freeze.main() == 1
    assert file.read_bytes() == before


@frozen_only
@pytest.mark.parametrize(
    ("part", "every"), [("text", 6), ("vision", 6), ("projector", 3), ("encoder", 20), ("unet", 120), ("sketch", 40)]
)
def test_a_changed_weight_is_noticed(models: ToonCrafter, vectors: dict[str, Tensor], part: str, every: int) -> None:
    """A sample of what `mutate.py` tries."""
    model, module = mutate.modules(models, vectors)[part]
    found = mutate.errors(model, module, vectors, list(model.state_dict())[::every])
    assert len(found) >= 5
    assert not [name for name, why in mutate.unnoticed(part, found).items() if why is None]
