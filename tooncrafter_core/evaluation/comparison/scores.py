"""The numbers of a comparison."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import zip_longest
from statistics import fmean
from typing import NamedTuple

from ..measures.measure import Better, Measure
from ..report.summary import standard_error

TRUTH = "truth"
"""The row of the true frames, where they have a number that says something."""


class Mean(NamedTuple):
    """A mean over clips and its standard error, which a single clip has not."""

    value: float
    error: float | None


class Column(NamedTuple):
    """A column of the tables."""

    name: str
    better: Better
    about: str


@dataclass(frozen=True)
class Row:
    """One clip by one method: for each measure a value of every in-between, see `Measure.values`."""

    method: str
    clip: str
    group: str
    values: Mapping[str, list[float]]


@dataclass
class Scores:
    """All numbers.

    Attributes:
        measures: what was measured.
        rows: clip by clip and method by method.
        distances: by (method, group), with the group "" for all clips: name of a distance between the sets -> value.
        of_sets: columns of such distances.
    """

    measures: Sequence[Measure]
    of_sets: Sequence[Column] = ()
    rows: list[Row] = field(default_factory=list)
    distances: dict[tuple[str, str], dict[str, float]] = field(default_factory=dict)

    @property
    def methods(self) -> list[str]:
        """In the order they came; the truth, which not every measure is taken of, last."""
        return sorted(dict.fromkeys(row.method for row in self.rows), key=lambda name: name == TRUTH)

    @property
    def groups(self) -> list[str]:
        """Groups with a table of their own; none where there is only one."""
        found = list(dict.fromkeys(row.group for row in self.rows))
        return found if len(found) > 1 else []

    @property
    def columns(self) -> list[Column]:
        return [*(Column(each.name, each.better, each.about) for each in self.measures), *self.of_sets]

    def clips(self, group: str) -> int:
        """How many clips a group has; "" is all."""
        return len({row.clip for row in self.rows if group in ("", row.group)})

    def of_clip(self, row: Row, measure: Measure) -> float | None:
        """What is shown of a clip's average over its in-betweens; None where it was not measured."""
        values = row.values.get(measure.name)
        return None if values is None else measure.shown(fmean(values))

    def mean(self, method: str, group: str, column: str) -> Mean | None:
        """A table's cell: over the clips of a group, "" for all of them; None where nothing was measured."""
        if (distance := self.distances.get((method, group), {}).get(column)) is not None:
            return Mean(distance, None)
        measure = next((each for each in self.measures if each.name == column), None)
        if measure is None:
            return None
        rows = [row for row in self.rows if row.method == method and group in ("", row.group)]
        values = [value for row in rows if (value := self.of_clip(row, measure)) is not None]
        if not values:
            return None
        return Mean(fmean(values), standard_error(values))

    def best(self, group: str, column: Column) -> str | None:
        """The method with the best mean; the truth does not compete."""
        means = {name: mean for name in self.methods if name != TRUTH and (mean := self.mean(name, group, column.name))}
        choose = max if column.better == "higher" else min
        return choose(means, key=lambda name: means[name].value) if means else None

    def curve(self, method: str, measure: Measure) -> list[float]:
        """What is shown of the average over all clips that have an in-between of this number, from 1 on."""
        found = [row.values[measure.name] for row in self.rows if row.method == method and measure.name in row.values]
        frames = ([value for value in at if value is not None] for at in zip_longest(*found))
        return [measure.shown(fmean(values)) for values in frames]
