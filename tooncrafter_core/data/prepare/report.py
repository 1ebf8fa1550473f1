"""A page: how many stretches fell where, how what was measured is spread, and what the borderline looks like."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from html import escape
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

from ...files.media import check_sheet_file
from ...files.places.own import save_marked
from ...files.whole import check_page, written_whole
from .film import UNREADABLE, decode, to_array
from .pipeline import Outcome
from .settings import Settings
from .work import LOOK, Item

PAGE = "report.html"
_NUMBERS = (
    ("motion", "motion", "least"),
    ("flicker", "motion", "most_flicker"),
    ("text", "text_area", "most"),
    ("score", "aesthetics", "least"),
    ("agreement", "agreement", "least"),
)
"""What decides: the number's name, its stage, and the setting it is compared with."""
_DISTANCE = "distance"
"""The same for what decides between duplicates."""
_BORDERLINE = 12
"""Stretches on a contact sheet."""
_COLUMNS = 4
_SIDE = 108
"""px of the shorter side of a picture on it."""
_BAR = 18
_BINS = 40
_WIDTH, _HEIGHT = 640, 120
"""px of a histogram."""
_FELL, _KEPT = "#b91c1c", "#15803d"

_HEAD = """<!doctype html>
<meta charset="utf-8">
<meta name="generator" content="tooncrafter">
<title>Clip list</title>
<style>
body { font: 15px/1.5 sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem; color: #27272a }
td, th { padding: 0.1rem 1rem 0.1rem 0; text-align: left } td + td { text-align: right }
img, svg { max-width: 100%; display: block; margin: 0.5rem 0 }
</style>
"""


@dataclass(frozen=True)
class Measured:
    """One number of all stretches that have it.

    Attributes:
        name: of it.
        limit: the setting it is compared with.
        bound: that setting's value.
        values: [value, stretch].
    """

    name: str
    limit: str
    bound: float
    values: list[tuple[float, Item]]


def check(folder: Path) -> None:
    """Raise ValueError where the page or one of its sheets cannot be written, or would replace what is none of ours."""
    check_page(folder / PAGE)
    for name in (*(name for name, _, _ in _NUMBERS), _DISTANCE):
        check_sheet_file(folder / "report" / f"{name}.jpg")


def write(outcome: Outcome, settings: Settings, folder: Path) -> Path:
    """Write `report.html` and its contact sheets; the page's path.

    Raises:
        OSError: a file cannot be written.
    """
    parts = [_HEAD, "<h1>Clip list</h1>\n", _table(_counts(outcome)), *_unreadable(outcome)]
    for measured in _measured(outcome, settings):
        parts.append(f"<h2>{escape(measured.name)}</h2>\n<p>{escape(measured.limit)} = {measured.bound:g}</p>\n")
        parts.append(_histogram([value for value, _ in measured.values], measured.bound))
        sheet = folder / "report" / f"{measured.name}.jpg"
        with written_whole(sheet) as unfinished:
            save_marked(_contact_sheet(measured), unfinished)
        parts.append(f'<img src="report/{sheet.name}" alt="stretches nearest to {escape(measured.limit)}">\n')
    page = folder / PAGE
    with written_whole(page) as unfinished:
        unfinished.write_text("".join(parts), encoding="utf-8")
    return page


def _counts(outcome: Outcome) -> Iterator[tuple[str, int]]:
    """[what, how many]; from `stretches` on, what falls adds up to it together with the clips."""
    yield "films", len(outcome.films)
    yield "frames", sum(found["frames"] for found in outcome.found)
    yield "shots", sum(found["shots"] for found in outcome.found)
    stretches = sum(len(found["stretches"]) for found in outcome.found)
    yield "stretches", stretches
    yield "fell: too short", stretches - len(outcome.items)
    for fault, count in Counter(item.fault for item in outcome.items if item.fault).most_common():
        yield f"fell: {fault}", count
    for split, count in sorted(Counter(clip.split for clip in outcome.clips).items()):
        yield f"clips: {split}", count


def _table(rows: Iterator[tuple[str, int]]) -> str:
    return "<table>" + "".join(f"<tr><td>{escape(what)}<td>{count}" for what, count in rows) + "</table>\n"


def _unreadable(outcome: Outcome) -> Iterator[str]:
    reasons = [found["fault"] for found in outcome.found if found["fault"]]
    reasons += [item.results[LOOK]["reason"] for item in outcome.items if LOOK in item.results]
    if reasons:
        yield "<h2>Not read</h2>\n<ul>" + "".join(f"<li>{escape(reason)}" for reason in reasons) + "</ul>\n"


def _measured(outcome: Outcome, settings: Settings) -> Iterator[Measured]:
    """The numbers that decide, where there are any."""
    for name, stage, limit in _NUMBERS:
        values = [(float(item.results[stage][name]), item) for item in outcome.items if stage in item.results]
        if values:
            bound = float(getattr(getattr(settings, stage), limit))
            yield Measured(name, f"{stage}.{limit}", bound, values)
    near = [
        (outcome.distances[item.stretch.name], item) for item in outcome.items if item.stretch.name in outcome.distances
    ]
    if near:
        bound = settings.duplicates.distance
        yield Measured(_DISTANCE, "duplicates.distance", bound, [(float(d), i) for d, i in near])


def _histogram(values: Sequence[float], bound: float) -> str:
    low, high = min(*values, bound), max(*values, bound)
    counts, edges = np.histogram(values, _BINS, (low, high if high > low else low + 1))
    step = _WIDTH / _BINS
    bars = [
        f'<rect x="{index * step:.1f}" y="{_HEIGHT * (1 - count / counts.max()):.1f}" width="{step - 1:.1f}" '
        f'height="{_HEIGHT * count / counts.max():.1f}" fill="#64748b"/>'
        for index, count in enumerate(counts)
    ]
    at = _WIDTH * (bound - edges[0]) / (edges[-1] - edges[0])
    line = f'<line x1="{at:.1f}" x2="{at:.1f}" y1="0" y2="{_HEIGHT}" stroke="{_FELL}" stroke-width="2"/>'
    below = _HEIGHT + 15
    ends = f'<text y="{below}">{low:g}</text><text x="{_WIDTH}" y="{below}" text-anchor="end">{high:g}</text>'
    return f'<svg viewBox="0 0 {_WIDTH} {_HEIGHT + 18}" font-size="13">{"".join(bars)}{line}{ends}</svg>\n'


def _contact_sheet(measured: Measured) -> Image.Image:
    """First pictures of the stretches nearest to the bound, in the order of their values."""
    nearest = sorted(measured.values, key=lambda pair: (abs(pair[0] - measured.bound), pair[1].stretch.name))
    shown = sorted(nearest[:_BORDERLINE], key=lambda pair: (pair[0], pair[1].stretch.name))
    pictures = [_picture(value, item) for value, item in shown]
    columns = min(_COLUMNS, len(pictures))
    width, height = (max(side) for side in zip(*(picture.size for picture in pictures), strict=True))
    sheet = Image.new("RGB", (columns * width, -(-len(pictures) // columns) * height), "white")
    for index, picture in enumerate(pictures):
        sheet.paste(picture, (index % columns * width, index // columns * height))
    return sheet


def _picture(value: float, item: Item) -> Image.Image:
    stretch = item.stretch
    size = stretch.film.size(_SIDE, 2)
    captioned = Image.new("RGB", (size[0], size[1] + _BAR), _FELL if item.fault else _KEPT)
    with suppress(*UNREADABLE, StopIteration):  # the bar below says that it fell
        captioned.paste(Image.fromarray(to_array(next(decode(stretch.film, stretch.start))[1], size)), (0, 0))
    draw = ImageDraw.Draw(captioned)
    draw.text((3, size[1] + 3), f"{value:g}  {item.fault or 'kept'}  {stretch.first}", fill="white")
    return captioned
