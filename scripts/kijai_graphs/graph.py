"""A workflow as ComfyUI's page saves it: nodes by number, wires between them, and all else as it came."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

Node = dict[str, Any]


class NotAWorkflowError(ValueError):
    """What came is no workflow as the page saves it."""


@dataclass(frozen=True)
class Output:
    """The place where a wire begins."""

    node: int
    slot: int


@dataclass(frozen=True)
class NodeKind:
    """A node type, with what the page saves of it.

    Attributes:
        type: its id.
        sockets: names of its inputs that are wires only, and their types.
        widgets: names of its inputs that are typed in, and their types.
        outputs: names and types.
        size: width and height on the page.
    """

    type: str
    sockets: Mapping[str, str]
    widgets: Mapping[str, str]
    outputs: Mapping[str, str]
    size: tuple[int, int] = (315, 100)

    def saved(self, values: list[Any]) -> Node:
        """The parts of a saved node that its type settles, with these values in its widgets."""
        wires = [{"name": name, "type": kind, "link": None} for name, kind in self.sockets.items()]
        typed = [
            {"name": name, "type": kind, "widget": {"name": name}, "link": None} for name, kind in self.widgets.items()
        ]
        outputs = [{"name": name, "type": kind, "links": []} for name, kind in self.outputs.items()]
        properties = {"Node name for S&R": self.type}
        parts = {"inputs": [*wires, *typed], "outputs": outputs, "properties": properties, "widgets_values": values}
        return {"type": self.type, "size": list(self.size), **parts}


@dataclass
class Graph:
    """A workflow that can be changed.

    Attributes:
        nodes: by number, in the order of the file.
        wires: by number: [number, from, output, to, input, type].
        rest: everything else of the file.
    """

    nodes: dict[int, Node]
    wires: dict[int, list[Any]]
    rest: dict[str, Any] = field(default_factory=dict)

    @classmethod
    def read(cls, saved: object) -> Graph:
        """Raises NotAWorkflowError, which says what came instead."""
        if not isinstance(saved, dict) or not isinstance(saved.get("nodes"), list):
            raise NotAWorkflowError(_what_else(saved))
        nodes, wires = saved["nodes"], saved.get("links") or []
        if not all(isinstance(node, dict) and _has_number_and_type(node) for node in nodes):
            raise NotAWorkflowError("one of its nodes has no number or no type; save it again in ComfyUI")
        if not all(_is_whole(node) for node in nodes):
            raise NotAWorkflowError("one of its nodes has no place, or inputs and outputs that are none; save it again")
        if len({node["id"] for node in nodes}) < len(nodes):
            raise NotAWorkflowError("two of its nodes have one number; save it again in ComfyUI")
        if not isinstance(wires, list) or not all(map(_is_wire, wires)):
            raise NotAWorkflowError("its links are not lists of six with numbers of nodes; save it again in ComfyUI")
        rest = {name: value for name, value in saved.items() if name not in ("nodes", "links")}
        return cls({node["id"]: node for node in nodes}, {wire[0]: wire for wire in wires}, rest)

    def saved(self) -> dict[str, Any]:
        counts = {"last_node_id": max(self.nodes, default=0), "last_link_id": max(self.wires, default=0)}
        return {**self.rest, **counts, "nodes": list(self.nodes.values()), "links": list(self.wires.values())}

    def source(self, node: Node, name: str) -> Output | None:
        """Where the wire into an input comes from, past reroutes; None where nothing does."""
        wire = self.wires.get(input_of(node, name).get("link"))
        for _ in self.nodes:
            if not wire or self.nodes.get(wire[1], {}).get("type") != "Reroute":
                break
            wire = next((self.wires.get(entry["link"]) for entry in self.nodes[wire[1]]["inputs"]), None)
        there = wire and wire[1] in self.nodes and 0 <= wire[2] < len(self.nodes[wire[1]].get("outputs") or ())
        return Output(wire[1], wire[2]) if wire and there else None

    def add(self, kind: NodeKind, values: list[Any], like: Node, below: float) -> Node:
        """A new node `below` pixels lower than another one, in its colours, and on or off as it is."""
        x, y = place_of(like)
        kept = {name: like[name] for name in ("mode", "color", "bgcolor") if name in like}
        node = {"id": max(self.nodes) + 1, "pos": [x, y + below], "flags": {}, **kept, **kind.saved(values)}
        self.nodes[node["id"]] = node
        return node

    def become(self, node: Node, kind: NodeKind, values: list[Any]) -> Node:
        """Make a node one of another type, at its place and under its number; its wires come off."""
        self.detach(node)
        kept = {name: node[name] for name in ("mode", "color", "bgcolor", "title", "pos") if name in node}
        made = {"id": node["id"], "flags": node.get("flags", {}), **kept, **kind.saved(values)}
        self.nodes[node["id"]] = made
        return made

    def detach(self, node: Node) -> None:
        """Take off the wires into a node."""
        for entry in node.get("inputs") or ():
            wire = self.wires.pop(entry.get("link"), None)
            if wire:
                output = (self.nodes.get(wire[1], {}).get("outputs") or [])[wire[2] : wire[2] + 1]
                for one in output:
                    one["links"] = [number for number in one["links"] or () if number != wire[0]]
            entry["link"] = None

    def connect(self, source: Output, node: Node, name: str) -> None:
        """Put a wire into an input."""
        entry = input_of(node, name)
        number = max(self.wires, default=0) + 1
        output = self.nodes[source.node]["outputs"][source.slot]
        slot = node["inputs"].index(entry)
        self.wires[number] = [number, source.node, source.slot, node["id"], slot, output["type"]]
        output["links"] = [*(output["links"] or ()), number]
        entry["link"] = number

    def cut(self, wires: list[list[Any]]) -> None:
        """Take wires away that begin at outputs which are no more."""
        for wire in wires:
            del self.wires[wire[0]]
            for entry in self.nodes.get(wire[3], {}).get("inputs") or ():
                if entry.get("link") == wire[0]:
                    entry["link"] = None

    def wires_into(self, number: int) -> list[list[Any]]:
        """The wires into a node."""
        return [wire for wire in self.wires.values() if wire[3] == number and wire[1] in self.nodes]

    def targets(self, node: Node, slot: int) -> list[list[Any]]:
        """The wires that begin at an output."""
        return [wire for wire in self.wires.values() if wire[1] == node["id"] and wire[2] == slot]

    def hand_over(self, wires: list[list[Any]], source: Output) -> None:
        """Let wires begin at another output."""
        output = self.nodes[source.node]["outputs"][source.slot]
        for wire in wires:
            wire[1:3] = source.node, source.slot
            wire[5] = output["type"]
            output["links"] = [*(output["links"] or ()), wire[0]]


def input_of(node: Node, name: str) -> dict[str, Any]:
    """An input by its name; empty where there is none."""
    return next((entry for entry in node.get("inputs") or () if entry.get("name") == name), {})


def place_of(node: Node) -> tuple[float, float]:
    """x and y on the canvas; older pages wrote an object of them."""
    place = node.get("pos", (0, 0))
    x, y = place.values() if isinstance(place, dict) else place
    return x, y


def _has_number_and_type(node: Node) -> bool:
    return type(node.get("id")) is int and isinstance(node.get("type"), str)


def _is_whole(node: Node) -> bool:
    """Whether its inputs and outputs are lists, or left out, and its place is one, or left out."""
    sockets = [node.get(name) or [] for name in ("inputs", "outputs")]
    place = node.get("pos", (0, 0))
    numbers = list(place.values()) if isinstance(place, dict) else place
    return (
        all(isinstance(some, list) and all(isinstance(one, dict) for one in some) for some in sockets)
        and isinstance(numbers, list | tuple)
        and len(numbers) == 2
        and all(isinstance(number, int | float) for number in numbers)
    )


def _is_wire(wire: object) -> bool:
    return isinstance(wire, list) and len(wire) == 6 and all(type(number) is int for number in wire[:4])


def _what_else(saved: object) -> str:
    if isinstance(saved, dict) and any(isinstance(v, dict) and "class_type" in v for v in saved.values()):
        return "it is in the API form, which has no places of nodes; save it in ComfyUI with Workflow, Export"
    return "it has no list of nodes; expected a workflow that ComfyUI's page has saved"
