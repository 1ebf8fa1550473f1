"""Wrong inputs of a good graph: every kind of value at every input, with seeded numbers, places and sizes."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from random import Random
from typing import Any

from comfy_harness.prompts import Prompt, changed, node

SEED = 20

OURS = ("loader", "sketch_loader", "encode", "guide", "sampler", "decode")

ALWAYS = ("None", "a text", "NaN", "an empty list")
SOMETIMES = (
    "no text", "a long text", "a number", "infinity", "4,000 digits", "a large negative number", "a list of None",
    "an empty tuple", "{}", "an object", "bytes", "a tensor without dimensions", "a tensor of no size",
    "a tensor of five dimensions", "a tensor of two dimensions",
)  # fmt: skip
"""Kinds of `wrong_nodes.MADE`: what goes to every input, and what a few of go to each."""

LIKE = {
    "LATENT": ("{}", "samples None", "samples a list"),
    "CONDITIONING": ("a prompt of one part", "a prompt without text", "a prompt of text",
                     "a prompt without a dictionary"),
    "MODEL": ("another MODEL",),
    "VAE": ("another VAE",),
    "CONTROL_NET": ("another CONTROL_NET",),
}  # fmt: skip
"""Kinds that look like what an input takes, by its type."""

A_FEW = 3
"""Of the kinds for some inputs only, and of the wires of other types."""

_TENSOR = ("NaN inside", "infinity inside", "a batch of 0", "zero width", "zero height", "whole numbers",
           "one dimension fewer", "one dimension more")  # fmt: skip
CHANGED = {
    "IMAGE": (*_TENSOR, "no pixels", "two channels", "values to 255", "values from -1", "a very long picture"),
    "LATENT": (
        *_TENSOR, "another count of latent channels", "fewer", "wider latents", "a mask of NaN", "a mask of text",
        "a mask of no size", "a mask of five dimensions", "a mask to 255",
    ),
    "CONDITIONING": _TENSOR,
    "TOONCRAFTER_REFERENCES": ("of another VAE",),
}  # fmt: skip
"""Kinds that change the good value of an input, by its type."""

TYPED: dict[str, tuple[Any, ...]] = {
    "INT": ("abc", "", None, float("nan"), float("inf"), -(10**9), 2**70, {"a": 1}, "9" * 5000),
    "FLOAT": ("abc", "", None, float("nan"), float("inf"), -float("inf"), -1e9, 1e9, {"a": 1}),
    "COMBO": ("abc", "", None, 7, {"a": 1}, "../../secrets.safetensors", "x" * 5000),
    "STRING": (
        "",
        "abc",
        None,
        {"a": 1},
        "16",
        "-17",
        "9-5",
        "3, 3",
        "1, 2",
        "1.5",
        "7-",
        "9" * 5000,
        "-" + "9" * 5000,
    ),
}
"""What is typed into a widget, or sent for it by a program."""

LISTS = {"encode": "keyframes", "guide": "sketches"}
"""Nodes that take lists, and the input that may be one."""


@dataclass(frozen=True)
class Fault:
    """One wrong input of an otherwise good graph."""

    node: str
    name: str
    kind: str
    prompt: Prompt

    def __str__(self) -> str:
        return f"{self.node}.{self.name} = {self.kind}"


WIRES = {
    "MODEL": ["kept_loader", 0],
    "CLIP": ["kept_loader", 1],
    "CLIP_VISION": ["kept_loader", 2],
    "VAE": ["kept_loader", 3],
    "IMAGE": ["kept_keyframes", 0],
    "CONTROL_NET": ["kept_sketch_loader", 0],
    "CONDITIONING": ["kept_encode", 0],
    "LATENT": ["kept_encode", 2],
    "TOONCRAFTER_REFERENCES": ["kept_encode", 3],
}
"""Good values of every type."""

MIXED = [
    ("guide", "positive", 0), ("guide", "negative", 1), ("sampler", "positive", 0), ("sampler", "negative", 1),
    ("sampler", "latent", 2), ("decode", "latent", 2), ("decode", "references", 3),
]  # fmt: skip
"""Where 2 x 8 frames may come instead of 1 x 16."""


def emitted(good: Prompt, at: tuple[str, str], kind: str, seed: int, like: Any = None, as_list: bool = False) -> Fault:
    """A wrong value on the wire to one input."""
    name, given = at
    inputs = {"kind": kind, "seed": seed, **({"like": like} if isinstance(like, list) else {})}
    wrong = node("TestWrongList" if as_list else "TestWrong", **inputs)
    prompt = changed({**good, "wrong": wrong}, name, **{given: ["wrong", 0]})
    return Fault(name, given, f"a list with {kind}" if as_list else kind, prompt)


def typed(good: Prompt, name: str, given: str, value: Any) -> Fault:
    return Fault(name, given, f"typed {str(value)[:20]!r}", changed(good, name, **{given: value}))


def faults_of(good: Prompt, kinds: dict[str, dict[str, str]]) -> Iterator[Fault]:
    """Every kind of wrong value at every input, with seeded numbers, places and sizes."""
    random = Random(SEED)
    for name in OURS:
        for given in good[name]["inputs"]:
            yield from on_the_wire(good, (name, given), kinds[good[name]["class_type"]][given], random)
            yield from in_the_widget(good, (name, given), kinds[good[name]["class_type"]][given])
            if name in LISTS:
                yield from in_lists(good, (name, given), random)
    yield from between_nodes(good)


def on_the_wire(good: Prompt, at: tuple[str, str], kind: str, random: Random) -> Iterator[Fault]:
    """Values of other kinds, good values of other types, and the good value with one thing wrong."""
    for made in (*ALWAYS, *LIKE.get(kind, ()), *random.sample(SOMETIMES, A_FEW)):
        if (kind, made) != ("FLOAT", "a number"):
            yield emitted(good, at, made, random.randrange(2**32))
    for other in random.sample([name for name in WIRES if name != kind], A_FEW):
        yield replace(emitted(good, at, "as it is", 0, WIRES[other]), kind=f"a wire of {other}")
    for change in CHANGED.get(kind, ()):
        yield emitted(good, at, change, random.randrange(2**32), good[at[0]]["inputs"][at[1]])


def in_the_widget(good: Prompt, at: tuple[str, str], kind: str) -> Iterator[Fault]:
    """Typed values, and none where one is required."""
    for value in TYPED.get(kind, ()):
        yield typed(good, *at, value)
    name, given = at
    inputs = {key: value for key, value in good[name]["inputs"].items() if key != given}
    if given not in ("loop", "sketches", "clean_end"):
        yield Fault(name, given, "missing", {**good, name: {**good[name], "inputs": inputs}})


def in_lists(good: Prompt, at: tuple[str, str], random: Random) -> Iterator[Fault]:
    """Lists for the node that takes them: empty, and with something wrong after the good value."""
    value = good[at[0]]["inputs"][at[1]]
    yield emitted(good, at, "no values", 0, as_list=True)
    if isinstance(value, list):
        yield emitted(good, at, "None", 0, value, as_list=True)
    if at[1] == LISTS[at[0]]:
        yield emitted(good, at, "NaN inside", random.randrange(2**32), value, as_list=True)


def between_nodes(good: Prompt) -> Iterator[Fault]:
    """Good values that do not go together, and one that a stock node lets through."""
    yield Fault("encode", "keyframes", "one picture", changed(good, "encode", keyframes=["keyframes_0", 0]))
    for name, given, output in MIXED:
        yield Fault(name, given, "2 x 8 for 1 x 16", changed(good, name, **{given: ["two", output]}))
    for given in ("positive", "negative"):
        yield emitted(good, ("sampler", given), "narrower text", 0, good["sampler"]["inputs"][given])
    broken = node("TestWrong", kind="NaN inside", seed=1, like=["keyframes_0", 0])
    wires = {"positive": ["encode", 0], "negative": ["encode", 1], "control_net": ["sketch_loader", 0]}
    settings = {"strength": 1.0, "start_percent": 0.0, "end_percent": 1.0}
    applied = {"broken": broken, "applied": node("ControlNetApplyAdvanced", **wires, **settings, image=["broken", 0])}
    prompt = changed({**good, **applied}, "sampler", positive=["applied", 0])
    yield Fault("sampler", "ControlNet", "NaN in Apply ControlNet", prompt)
