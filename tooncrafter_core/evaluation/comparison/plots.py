"""Lines over frame numbers as SVG, by hand."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from html import escape

_WIDTH, _HEIGHT = 640, 280
_LEFT, _RIGHT, _TOP, _BOTTOM = 64, 176, 16, 40
_TICKS = 5
_COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#5b5b5b")
"""Told apart by the colour-blind (Okabe and Ito 2008)."""
_DASHES = ("", "6 3", "2 3")


def line_plot(curves: Mapping[str, Sequence[float]], what: str) -> str:
    """An SVG element with one line for each name; value i of a curve is that of frame i + 1."""
    values = [value for curve in curves.values() for value in curve]
    ticks = nice_ticks(min(values), max(values))
    last = max(len(curve) for curve in curves.values())
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img" font-size="12">',
        f"<title>{escape(what)} by frame</title>",
        *(_level(tick, _y(tick, ticks)) for tick in ticks),
        *(_frame_number(frame, _x(frame, last)) for frame in _numbered(last)),
        f'<text x="{(_LEFT + _WIDTH - _RIGHT) / 2}" y="{_HEIGHT - 6}" text-anchor="middle">frame</text>',
    ]
    for number, (name, curve) in enumerate(curves.items()):
        points = " ".join(f"{_x(i, last):.1f},{_y(value, ticks):.1f}" for i, value in enumerate(curve, start=1))
        parts.append(_line(number, name, points))
    return "\n".join([*parts, "</svg>"])


def nice_ticks(low: float, high: float) -> list[float]:
    """About five round numbers (1, 2 or 5 times a power of ten apart) that take in both ends."""
    span = high - low or abs(high) or 1.0
    magnitude = 10 ** math.floor(math.log10(span / _TICKS))
    step = next(factor * magnitude for factor in (1, 2, 5, 10) if factor * magnitude * _TICKS >= span * (1 - 1e-9))
    first, last = math.floor(low / step), math.ceil(high / step)
    return [step * number for number in range(first, max(last, first + 1) + 1)]


def _x(frame: int, last: int) -> float:
    return _LEFT + (frame - 1) / max(last - 1, 1) * (_WIDTH - _LEFT - _RIGHT)


def _y(value: float, ticks: Sequence[float]) -> float:
    share = (value - ticks[0]) / (ticks[-1] - ticks[0])
    return _HEIGHT - _BOTTOM - share * (_HEIGHT - _TOP - _BOTTOM)


def _numbered(last: int) -> list[int]:
    step = -(-last // 14)
    return list(range(1, last + 1, step))


def _level(value: float, y: float) -> str:
    return (
        f'<line x1="{_LEFT}" x2="{_WIDTH - _RIGHT}" y1="{y:.1f}" y2="{y:.1f}" stroke="#ddd"/>'
        f'<text x="{_LEFT - 6}" y="{y + 4:.1f}" text-anchor="end">{value:.4g}</text>'
    )


def _frame_number(frame: int, x: float) -> str:
    return f'<text x="{x:.1f}" y="{_HEIGHT - 24}" text-anchor="middle">{frame}</text>'


def _line(number: int, name: str, points: str) -> str:
    """A curve and its entry in the legend."""
    style = f'stroke="{_COLOURS[number % len(_COLOURS)]}" stroke-width="2" fill="none"'
    if dash := _DASHES[number // len(_COLOURS) % len(_DASHES)]:
        style += f' stroke-dasharray="{dash}"'
    x, y = _WIDTH - _RIGHT + 12, _TOP + 8 + 18 * number
    return (
        f'<polyline points="{points}" {style}/><line x1="{x}" x2="{x + 24}" y1="{y}" y2="{y}" {style}/>'
        f'<text x="{x + 30}" y="{y + 4}">{escape(name)}</text>'
    )
