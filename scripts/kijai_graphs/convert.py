"""Kijai's node types, and what stands for each; `docs/nodes.md` has them as a table."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from . import kinds
from .graph import Graph, Node, Output
from .report import CannotConvertError, Report, named
from .sampling import GAP, loader_of, sampled
from .settings import UnknownSettingsError, weight_dtype

_WIRES = {"DCMODEL", "DCNOISE"}
"""Wire types of Kijai's; a node that has one is his, or Reroute."""


def convert(graph: Graph) -> Report:
    """Changes the graph.

    Raises:
        CannotConvertError: it has no node of Kijai's.
    """
    conversion = _Conversion(graph)
    rules = conversion.rules()
    before = list(graph.nodes.values())
    theirs = [node for node in before if node["type"] in rules or _has_wire(node)]
    others = [node["type"] for node in before if node not in theirs]
    if not theirs:
        found = ", ".join(sorted(set(others))) or "no node at all"
        raise CannotConvertError(f"it has no node of Kijai's DynamiCrafter nodes; it has {found}")
    for kind, rule in rules.items():
        for node in theirs:
            if node["type"] == kind:
                conversion.follow(rule, node)
    rest = [node for node in theirs if node["type"] not in rules]
    conversion.report.left.extend(f"{named(node)}: nothing here stands for it" for node in rest)
    conversion.report.kept = dict(Counter(others))
    return conversion.report


def _has_wire(node: Node) -> bool:
    sockets = [*(node.get("inputs") or ()), *(node.get("outputs") or ())]
    return node["type"] != "Reroute" and any(socket.get("type") in _WIRES for socket in sockets)


@dataclass
class _Conversion:
    graph: Graph
    report: Report = field(default_factory=Report)
    encoders: dict[int, Node] = field(default_factory=dict)
    """Encode Keyframes by the number of the Sampler behind it."""

    def rules(self) -> dict[str, Callable[[Node], str]]:
        """By node type, loaders first: each changes the graph, and says what stands for the node now."""
        return {
            "DownloadAndLoadDynamiCrafterModel": self._loader,
            "DynamiCrafterModelLoader": self._loader,
            "DownloadAndLoadCLIPModel": self._text_tower,
            "DownloadAndLoadCLIPVisionModel": self._vision_tower,
            "ToonCrafterInterpolation": self._interpolation,
            "DynamiCrafterI2V": self._clip,
            "DynamiCrafterBatchInterpolation": self._clip,
            "ToonCrafterDecode": self._decoder,
        }

    def follow(self, rule: Callable[[Node], str], node: Node) -> None:
        name = named(node)
        try:
            self.report.converted.append(f"{name}: {rule(node)}")
        except (CannotConvertError, UnknownSettingsError) as error:
            self.report.left.append(f"{name}: {error}")

    def _loader(self, node: Node) -> str:
        file = _file(node)
        self._replace(node, kinds.LOADER, [file, weight_dtype(node["widgets_values"])])
        return f"ToonCrafter Loader with {file} of models/checkpoints"

    def _text_tower(self, node: Node) -> str:
        file = _file(node)
        self._replace(node, kinds.TEXT_TOWER, [file, "stable_diffusion", "default"])
        return f"Load CLIP with {file} of models/clip"

    def _vision_tower(self, node: Node) -> str:
        file = _file(node)
        self._replace(node, kinds.VISION_TOWER, [file])
        return f"Load CLIP Vision with {file} of models/clip_vision"

    def _interpolation(self, node: Node) -> str:
        latents = self.graph.targets(node, 0)
        encode, sampler = sampled(self.graph, node, self.report)
        self.encoders[sampler["id"]] = encode
        self.graph.hand_over(latents, Output(sampler["id"], 0))
        return f"Encode Keyframes (node {encode['id']}) and Sampler (node {sampler['id']})"

    def _clip(self, node: Node) -> str:
        """A node that samples and decodes."""
        pictures, last = self.graph.targets(node, 0), self.graph.targets(node, 1)
        loader = loader_of(self.graph, node)
        encode, sampler = sampled(self.graph, node, self.report)
        below = encode["size"][1] + sampler["size"][1] + 2 * GAP
        decode = self.graph.add(kinds.DECODE, [True, False], encode, below)
        self._wire_decoder(decode, loader, encode, Output(sampler["id"], 0))
        self.graph.hand_over(pictures, Output(decode["id"], 0))
        if last:
            self.report.lost.append(f"{named(node)}: last_image, which Get Image from Batch takes from the frames")
            self.graph.cut(last)
        numbers = f"Sampler (node {sampler['id']}) and Dual-Ref Decode (node {decode['id']})"
        return f"Encode Keyframes (node {encode['id']}), {numbers}"

    def _decoder(self, node: Node) -> str:
        loader, latent = loader_of(self.graph, node), self.graph.source(node, "latent")
        encode = self._encoder_of(node)
        if latent is None or encode is None:
            raise CannotConvertError("its latent comes from no node that could be converted")
        pictures = self.graph.targets(node, 0)
        decode = self.graph.become(node, kinds.DECODE, [True, False])
        self._wire_decoder(decode, loader, encode, latent)
        self.graph.hand_over(pictures, Output(decode["id"], 0))
        return "Dual-Ref Decode"

    def _encoder_of(self, node: Node) -> Node | None:
        """Encode Keyframes of the latents that come into a node, whatever they pass through."""
        ways, seen = [node["id"]], set()
        while ways:
            number = ways.pop()
            if number in self.encoders:
                return self.encoders[number]
            seen.add(number)
            wires = [wire for wire in self.graph.wires_into(number) if wire[5] in ("LATENT", "*")]
            ways.extend(wire[1] for wire in wires if wire[1] not in seen)
        return None

    def _wire_decoder(self, decode: Node, loader: int, encode: Node, latent: Output) -> None:
        wires = {
            "vae": Output(loader, kinds.VAE),
            "latent": latent,
            "references": Output(encode["id"], kinds.REFERENCES),
        }
        for name, source in wires.items():
            self.graph.connect(source, decode, name)

    def _replace(self, node: Node, kind: kinds.NodeKind, values: list[Any]) -> None:
        """One node for another, whose first outputs mean the same."""
        taken = self.graph.targets(node, 0)
        made = self.graph.become(node, kind, values)
        self.graph.hand_over(taken, Output(made["id"], 0))


def _file(node: Node) -> str:
    """The file that a loader is set to, which is its first value."""
    values = node.get("widgets_values")
    if not isinstance(values, list) or not values or not isinstance(values[0], str):
        raise UnknownSettingsError(f"its settings are {values}")
    return values[0]
