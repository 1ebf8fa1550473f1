"""The comparison as a page: tables, plots over frame numbers, and strips of frames."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path
from string import Template
from typing import NamedTuple

from .plots import line_plot
from .scores import Scores
from .tables import Cell, cells

_TEMPLATE = Path(__file__).with_name("page.html")


class Strip(NamedTuple):
    """A picture of one clip, a row for each method."""

    clip: str
    group: str
    picture: str


@dataclass(frozen=True)
class Page:
    """What the page shows.

    Attributes:
        scores: the numbers.
        strips: pictures beside the page.
        study: the study's page, if there is one.
    """

    scores: Scores
    strips: Sequence[Strip]
    study: str | None

    def html(self) -> str:
        """A page of its own; it needs the pictures beside it and nothing from elsewhere."""
        link = f'<p><a href="{escape(self.study)}">Which is better? A study for people</a></p>' if self.study else ""
        return Template(_TEMPLATE.read_text(encoding="utf-8")).substitute(
            study=link,
            measures="\n".join(self._measures()),
            tables="\n".join(self._tables()),
            plots="\n".join(self._plots()),
            strips="\n".join(self._strips()),
        )

    def _measures(self) -> Iterator[str]:
        for column in self.scores.columns:
            yield f"<dt>{escape(column.name)}, {column.better} is better</dt><dd>{escape(column.about)}</dd>"

    def _tables(self) -> Iterator[str]:
        heads = "".join(f'<th scope="col">{escape(name)}</th>' for name in ("method", *self._names()))
        for group in ("", *self.scores.groups):
            yield f"<h3>{escape(group or 'All clips')} ({self.scores.clips(group)})</h3>"
            body = "".join(
                f'<tr><th scope="row">{escape(name)}</th>{"".join(map(_table_cell, row))}</tr>'
                for name, row in cells(self.scores, group)
            )
            yield f"<table><thead><tr>{heads}</tr></thead><tbody>{body}</tbody></table>"

    def _names(self) -> list[str]:
        return [column.name for column in self.scores.columns]

    def _plots(self) -> Iterator[str]:
        for measure in self.scores.measures:
            curves = {method: self.scores.curve(method, measure) for method in self.scores.methods}
            plot = line_plot({method: curve for method, curve in curves.items() if curve}, measure.name)
            yield f"<figure><figcaption>{escape(measure.name)}</figcaption>{plot}</figure>"

    def _strips(self) -> Iterator[str]:
        for strip in self.strips:
            title = escape(f"{strip.group}: {strip.clip}" if strip.group else strip.clip)
            image = f'<img src="{escape(strip.picture)}" alt="Frames of {title} by every method" loading="lazy">'
            yield f"<figure><figcaption>{title}</figcaption>{image}</figure>"


def _table_cell(cell: Cell) -> str:
    text = escape(cell.text)
    return f"<td><strong>{text}</strong></td>" if cell.best else f"<td>{text}</td>"
