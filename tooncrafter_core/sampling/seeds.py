"""Lists of seeds to try."""

from __future__ import annotations

import re

from ..inputs import shortened

MOST = 64
"""Seeds in a list; each is a whole run."""
LARGEST = 2**64 - 1
_ITEM = re.compile(r"0*(\d{1,20})(?:\s*-\s*0*(\d{1,20}))?", re.ASCII)
"""A seed or a range of them, of no more digits than the largest has."""


def parse_seeds(text: str) -> list[int]:
    """Read seeds such as `1, 2, 7-9`.

    Returns:
        the seeds in the order given

    Raises:
        ValueError: not a list of seeds, one given twice, none or more than `MOST`.
    """
    seeds: list[int] = []
    for item in filter(None, (part.strip() for part in text.split(","))):
        seeds.extend(_parse_item(item, text))
    twice = next((seed for seed in seeds if seeds.count(seed) > 1), None)
    if twice is not None:
        raise ValueError(
            f"seed {twice} is given more than once in {shortened(text)}; it would give the same frames again"
        )
    if not 1 <= len(seeds) <= MOST:
        raise ValueError(f"{len(seeds)} seeds in {shortened(text)}; expected 1 to {MOST}, each of them a whole run")
    return seeds


def _parse_item(item: str, text: str) -> range:
    match = _ITEM.fullmatch(item)
    if match is None:
        raise ValueError(f"cannot read {shortened(item)} in seeds {shortened(text)}; expected a list such as 1, 2, 7-9")
    first = int(match[1])
    last = int(match[2]) if match[2] else first
    if not first <= last <= LARGEST:
        raise ValueError(f"{shortened(item)} in seeds {shortened(text)}; expected rising seeds from 0 to {LARGEST}")
    if last - first >= MOST:
        raise ValueError(
            f"{shortened(item)} in seeds {shortened(text)} is {last - first + 1} seeds; expected at most {MOST}"
        )
    return range(first, last + 1)
