"""The noise schedule has the published numbers."""

from __future__ import annotations

from comparison import MODULE_LIMIT, compare
from golden import schedule
from torch import Tensor

from tooncrafter_core.sampling.schedule import Schedule

Vectors = dict[str, Tensor]


def test_tables(vectors: Vectors) -> None:
    tables = schedule.tables()
    used = {key: vectors[key][: len(Schedule.published())] for key in tables}
    compare(tables, used, MODULE_LIMIT)


def test_trailing_timesteps(vectors: Vectors) -> None:
    made = schedule.trailing_timesteps(vectors)
    assert made
    for key, timesteps in made.items():
        assert timesteps.tolist() == vectors[key].tolist(), key


def test_sigmas(vectors: Vectors) -> None:
    compare(schedule.sigmas(vectors), vectors, MODULE_LIMIT)
