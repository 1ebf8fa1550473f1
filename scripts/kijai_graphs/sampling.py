"""A sampling node of Kijai's as Encode Keyframes and Sampler."""

from __future__ import annotations

from dataclasses import dataclass

from . import kinds
from .graph import Graph, Node, Output, input_of
from .report import CannotConvertError, Report, named
from .settings import Settings

GAP = 50
"""Pixels between a node and the one that is put below it; 30 of them are a title bar."""

_TO_SAMPLER = {"steps": "steps", "cfg": "guidance_scale", "eta": "eta", "seed": "seed"}
_TO_ENCODE = {"frames": "frames", "fs": "fps"}
"""Inputs that can be typed or wired, and those they become."""

_WIRED = ("model", "clip_vision", "positive", "negative", "images", "image", "image2")


@dataclass(frozen=True)
class Sources:
    """Where what a sampling node takes comes from.

    Attributes:
        loader: number of the ToonCrafter Loader.
        pictures: one batch, or two of one picture each.
        inputs: positive, negative and clip_vision, where older versions of the node had them.
        sampler: what is wired into settings of our Sampler, by their names.
        encode: likewise of Encode Keyframes.
    """

    loader: int
    pictures: list[Output]
    inputs: dict[str, Output]
    sampler: dict[str, Output]
    encode: dict[str, Output]

    @classmethod
    def of(cls, graph: Graph, node: Node) -> Sources:
        """Raises CannotConvertError where something is not connected that has to be."""

        def wired(names: dict[str, str]) -> dict[str, Output]:
            found = {ours: graph.source(node, theirs) for theirs, ours in names.items()}
            return {name: source for name, source in found.items() if source}

        return cls(
            loader_of(graph, node),
            _pictures(graph, node),
            wired({name: name for name in ("positive", "negative", "clip_vision")}),
            wired(_TO_SAMPLER),
            wired(_TO_ENCODE),
        )


def loader_of(graph: Graph, node: Node) -> int:
    """The number of the ToonCrafter Loader whose model a node takes.

    Raises:
        CannotConvertError: it takes none.
    """
    source = graph.source(node, "model")
    if source is None or graph.nodes[source.node]["type"] != kinds.LOADER.type:
        raise CannotConvertError("no loader of Kijai's is connected to its model")
    return source.node


def sampled(graph: Graph, node: Node, report: Report) -> tuple[Node, Node]:
    """Encode Keyframes in a node's place and a Sampler below it; what took the node's output still does.

    Raises:
        CannotConvertError: something is not connected that has to be.
        UnknownSettingsError: what is typed into the node is in no order that is known.
    """
    settings, sources = Settings.read(node.get("widgets_values")), Sources.of(graph, node)
    report.lost.extend(_lost(node))
    encode = graph.become(node, kinds.ENCODE, settings.of_encode)
    sampler = graph.add(kinds.SAMPLER, settings.of_sampler, encode, encode["size"][1] + GAP)
    prompts = _prompts(graph, encode, settings.prompt, sources)
    keyframes = _keyframes(graph, encode, sources.pictures)
    size = _folded(graph.add(kinds.IMAGE_SIZE, [], encode, -GAP))
    graph.connect(keyframes, size, "image")
    wires = {"width": Output(size["id"], 0), "height": Output(size["id"], 1), "vae": Output(sources.loader, kinds.VAE)}
    for name, source in {"keyframes": keyframes, **prompts, **wires, **sources.encode}.items():
        graph.connect(source, encode, name)
    graph.connect(Output(sources.loader, kinds.MODEL), sampler, "model")
    for slot, name in ((kinds.POSITIVE, "positive"), (kinds.NEGATIVE, "negative"), (kinds.LATENT, "latent")):
        graph.connect(Output(encode["id"], slot), sampler, name)
    for name, source in sources.sampler.items():
        graph.connect(source, sampler, name)
    return encode, sampler


def _pictures(graph: Graph, node: Node) -> list[Output]:
    if input_of(node, "images"):
        found = [graph.source(node, "images")]
    else:
        found = [graph.source(node, "image"), graph.source(node, "image2")]
    connected = [source for source in found if source]
    if len(connected) < len(found):
        raise CannotConvertError("it has one picture or none; what is here draws from one keyframe to the next")
    return connected


def _keyframes(graph: Graph, encode: Node, pictures: list[Output]) -> Output:
    """One batch of the pictures."""
    if len(pictures) == 1:
        return pictures[0]
    batch = _folded(graph.add(kinds.BATCH, [], encode, -2 * GAP))
    for name, source in zip(kinds.BATCH.sockets, pictures, strict=True):
        graph.connect(source, batch, name)
    return Output(batch["id"], 0)


def _prompts(graph: Graph, encode: Node, prompt: str | None, sources: Sources) -> dict[str, Output]:
    """positive, negative and clip_vision; where the prompt was typed into the node, from the Loader's own towers."""
    if prompt is None:
        return sources.inputs
    made = {"clip_vision": Output(sources.loader, kinds.CLIP_VISION)}
    for row, (name, text) in enumerate({"positive": prompt, "negative": ""}.items(), start=3):
        node = _folded(graph.add(kinds.PROMPT, [text], encode, -row * GAP))
        graph.connect(Output(sources.loader, kinds.CLIP), node, "clip")
        made[name] = Output(node["id"], 0)
    return made


def _folded(node: Node) -> Node:
    node["flags"] = {"collapsed": True}
    return node


def _lost(node: Node) -> list[str]:
    """What is connected and has no counterpart."""
    known = {*_WIRED, *_TO_SAMPLER, *_TO_ENCODE}
    names = [
        entry["name"]
        for entry in node.get("inputs") or ()
        if entry.get("link") is not None and entry["name"] not in known
    ]
    return [f"{named(node)}: what was connected to {name}" for name in names]
