"""The clips of each domain, measured part by part and shown on sheets."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch

from . import summary
from .measures import Bench, baselines
from .sheets import Block, write_sheets
from .store import Values
from .subject import Subject
from .windows import MIDDLE, Window

SHOWN, EXTREMES = 8, 4
"""Clips on the contact sheets: the first ones, and as many of the best and of the worst."""

_log = logging.getLogger("report")


Measured = dict[str, Any]
"""Rows of numbers: by domain and part, and of each variant."""


@dataclass(frozen=True)
class Group:
    """The windows of one domain and how they were found."""

    domain: str
    windows: list[Window]
    skipped: int


def measure(
    bench: Bench,
    subject: Subject,
    groups: Sequence[Group],
    variants: Mapping[str, Subject],
    parts: Sequence[str],
    sheets: Path,
) -> Measured:
    """Measure everything that is asked for, and draw the contact sheets of what was.

    Returns:
        `groups`: domain -> part -> summary; `variants`: name -> summary, on the first group's windows
    """
    measured: Measured = {"groups": {}, "variants": {}}
    for group in groups:
        measured["groups"][group.domain] = _measure_group(bench, subject, group, parts, sheets)
    for name, variant in variants.items():
        windows = groups[0].windows
        rows = _rows(f"variant {name}", windows, partial(bench.in_betweens, variant))
        measured["variants"][name] = summary.in_betweens(windows, rows)
    return measured


def _measure_group(
    bench: Bench, subject: Subject, group: Group, parts: Sequence[str], sheets: Path
) -> dict[str, summary.Summary]:
    found: dict[str, summary.Summary] = {}
    if "reconstruction" in parts:
        rows = _rows("reconstruction", group.windows, partial(bench.reconstruction, subject))
        found["reconstruction"] = summary.reconstruction(rows)
    if "sketch" in parts:
        rows = _rows("sketch", group.windows, partial(bench.sketching, subject))
        found["sketch"] = summary.sketching(rows)
    if "between" in parts:
        rows = _rows("in-betweens", group.windows, partial(bench.in_betweens, subject))
        found["in_betweens"] = summary.in_betweens(group.windows, rows)
        _clip_sheets(bench, subject, group, rows, "sketch" in parts, sheets)
    return found


def _rows(what: str, windows: Sequence[Window], make: Callable[[Window], Values]) -> list[Values]:
    rows = []
    for number, window in enumerate(windows, start=1):
        rows.append(make(window))
        _log.info("%s %d/%d %s", what, number, len(windows), window.name)
    return rows


def _clip_sheets(
    bench: Bench, subject: Subject, group: Group, rows: Sequence[Values], with_sketch: bool, folder: Path
) -> None:
    """Sheets of the first clips in the fixed order, and of those with the most and the least gain, named so."""

    def block(index: int) -> Block:
        window, row = group.windows[index], rows[index]
        shown = {
            "truth": window.frames,
            "ours": bench.drawn(subject, window),
            "dissolve": baselines(window)["dissolve"],
        }
        if with_sketch:
            shown["sketched"] = bench.guided(subject, window)
            shown["sketch"] = torch.zeros_like(window.frames)
            shown["sketch"][MIDDLE] = bench.sketch(window)[0]
        title = f"{window.name}  motion {window.motion:.1f} px  distance: ours {row['ours']:.3f}, dissolve "
        return Block(title + f"{row['dissolve']:.3f}, nearest {row['nearest']:.3f}", shown)

    ranked = sorted(range(len(rows)), key=lambda index: summary.gain(rows[index]), reverse=True)
    chosen = {"first": range(min(SHOWN, len(rows))), "best": ranked[:EXTREMES], "worst": ranked[::-1][:EXTREMES]}
    for name, indices in chosen.items():
        write_sheets(folder, f"{group.domain}_{name}", [block(index) for index in indices])
