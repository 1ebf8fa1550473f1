"""What came of a graph, in lines to read."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from .graph import Node


class CannotConvertError(ValueError):
    """Something stays as it is, and why."""


@dataclass
class Report:
    """What came of a graph, a line for each.

    Attributes:
        converted: nodes of Kijai's, and what stands for them.
        lost: what was connected and has no counterpart.
        left: nodes of Kijai's that are still there, and why.
        kept: types of all other nodes, which are as they were, and how many of each.
    """

    converted: list[str] = field(default_factory=list)
    lost: list[str] = field(default_factory=list)
    left: list[str] = field(default_factory=list)
    kept: dict[str, int] = field(default_factory=dict)

    def lines(self) -> Iterator[str]:
        kept = [f"{kind}, {count} of them" if count > 1 else kind for kind, count in sorted(self.kept.items())]
        parts = {
            "Converted": self.converted,
            "Without a counterpart": self.lost,
            "Still of Kijai's, to be replaced by hand": self.left,
            "Kept as they are (those that are not ComfyUI's own need their node packs)": kept,
        }
        for title, found in parts.items():
            if found:
                yield f"{title}:"
                yield from (f"  {line}" for line in found)


def named(node: Node) -> str:
    return f"{node['type']} (node {node['id']})"
