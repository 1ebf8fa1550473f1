"""What came of a run, as a page beside the results."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path
from string import Template
from urllib.parse import quote

from ..files.whole import written_whole
from .results.store import Record, Results
from .shots.shot import Shot

_TEMPLATE = Path(__file__).with_name("report.html")


@dataclass(frozen=True)
class Report:
    """What the page shows.

    Attributes:
        shots: all of the list.
        records: of those that are drawn, by name.
        kept: names of those that an earlier run had drawn, or that are the same as another.
        failures: why the others are not drawn, by name.
        seconds: that the run took.
    """

    shots: Sequence[Shot]
    records: Mapping[str, Record]
    kept: frozenset[str]
    failures: Mapping[str, str]
    seconds: float

    def write(self, results: Results) -> None:
        """Write the page; it needs the pictures beside it and nothing from elsewhere.

        Raises:
            OSError: it cannot be written.
        """
        page = Template(_TEMPLATE.read_text(encoding="utf-8"))
        with written_whole(results.report) as unfinished:
            unfinished.write_text(
                page.substitute(summary=escape(self.summary()), rows="\n".join(self._rows(results))), encoding="utf-8"
            )

    def summary(self) -> str:
        """One line."""
        fresh = [record for name, record in self.records.items() if name not in self.kept]
        frames, drawing = sum(record.frames for record in fresh), sum(record.seconds for record in fresh)
        return (
            f"{len(self.shots)} shots: {len(fresh)} drawn, {len(self.kept)} kept, {len(self.failures)} failed. "
            f"{frames} frames in {self.seconds:.1f} s; drawing them took workers {drawing:.1f} s."
        )

    def _rows(self, results: Results) -> Iterator[str]:
        for shot in self.shots:
            cells = [f'<th scope="row">{escape(shot.name)}</th>', *self._cells(shot, results)]
            yield f"<tr>{''.join(cells)}</tr>"

    def _cells(self, shot: Shot, results: Results) -> Iterator[str]:
        record = self.records.get(shot.name)
        if record is None:
            yield f'<td class="failed">failed</td>{_number(len(shot.keyframes))}{_number("")}{_number("")}<td></td>'
            yield f'<td class="failed">{escape(self.failures.get(shot.name, ""))}</td>'
            return
        yield f"<td>{'kept' if shot.name in self.kept else 'drawn'}</td>{_number(len(shot.keyframes))}"
        yield f"{_number(record.frames)}{_number(f'{record.seconds:.1f}')}<td>{escape(record.worker)}</td>"
        strip, frames = (
            quote(path.relative_to(results.folder).as_posix())
            for path in (results.frame_strip(shot.name), results.frames(shot.name))
        )
        image = f'<img src="{strip}" alt="Frames of {escape(shot.name)}" loading="lazy">'
        yield f'<td><a href="{frames}/">{image}</a></td>'


def _number(value: object) -> str:
    return f'<td class="number">{value}</td>'
