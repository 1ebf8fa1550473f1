"""The numbers as Markdown and as CSV."""

from __future__ import annotations

import csv
import io
from typing import NamedTuple

from ..report.summary import table
from .scores import Mean, Scores


class Cell(NamedTuple):
    """A mean as text, and whether no other method has a better one."""

    text: str
    best: bool


def markdown(scores: Scores) -> str:
    """A table of all clips, and one of each group: means over clips with standard errors, the best in bold."""
    blocks = [
        "# Comparison",
        *(f"- **{each.name}** ({each.better} is better): {each.about}" for each in scores.columns),
    ]
    text = "\n".join(blocks[1:])
    parts = [blocks[0], text, *(_section(scores, group) for group in ("", *scores.groups))]
    return "\n\n".join(parts) + "\n"


def _section(scores: Scores, group: str) -> str:
    title = f"## {group or 'All clips'} ({scores.clips(group)})"
    rows = [
        [name, *(f"**{cell.text}**" if cell.best else cell.text for cell in row)] for name, row in cells(scores, group)
    ]
    return f"{title}\n\n{table(['method', *(each.name for each in scores.columns)], rows)}"


def cells(scores: Scores, group: str) -> list[tuple[str, list[Cell]]]:
    """A row for each method of which anything was measured: its name, and a mean for each column."""
    best = {column.name: scores.best(group, column) for column in scores.columns}
    rows = [
        (method, [Cell(_text(scores.mean(method, group, name)), best[name] == method) for name in best])
        for method in scores.methods
    ]
    return [(method, row) for method, row in rows if any(cell.text for cell in row)]


def _text(mean: Mean | None) -> str:
    if mean is None:
        return ""
    return _number(mean.value) + (f" ± {_number(mean.error)}" if mean.error is not None else "")


def _number(value: float) -> str:
    return f"{value:.3f}" if abs(value) < 10 else f"{value:.2f}"


def per_clip(scores: Scores) -> str:
    """CSV: a line for each clip and method, with a number for each measure."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["group", "clip", "method", *(each.name for each in scores.measures)])
    for row in scores.rows:
        values = (scores.of_clip(row, measure) for measure in scores.measures)
        writer.writerow(
            [row.group, row.clip, row.method, *("" if value is None else f"{value:.6g}" for value in values)]
        )
    return text.getvalue()
