"""A custom node for the tests: it puts wrong values on wires, of any type, as a faulty node of another pack does."""

from __future__ import annotations

import dataclasses
import gc
from collections.abc import Callable
from random import Random
from typing import Any

import comfy.sd
import torch
from comfy.comfy_types import IO
from comfy.controlnet import ControlBase
from comfy.model_patcher import ModelPatcher
from torch import Tensor

CPU = torch.device("cpu")


def _other_model() -> ModelPatcher:
    return ModelPatcher(torch.nn.Linear(1, 1), load_device=CPU, offload_device=CPU)


MADE: dict[str, Callable[[Random], Any]] = {
    "None": lambda random: None,
    "a text": lambda random: "".join(random.choices("abcxyz", k=random.randint(1, 9))),
    "no text": lambda random: "",
    "a long text": lambda random: "x" * 5000,
    "a number": lambda random: random.randint(-3, 9) + 0.5,
    "NaN": lambda random: float("nan"),
    "infinity": lambda random: random.choice((-1, 1)) * float("inf"),
    "4,000 digits": lambda random: 10**3999 + random.randint(0, 9),  # ComfyUI itself cannot tell of more
    "a large negative number": lambda random: -random.randint(10**6, 10**9),
    "an empty list": lambda random: [],
    "a list of None": lambda random: [None] * random.randint(1, 3),
    "an empty tuple": lambda random: (),
    "{}": lambda random: {},
    "an object": lambda random: object(),
    "bytes": lambda random: b"picture",
    "a tensor without dimensions": lambda random: torch.tensor(random.random()),
    "a tensor of no size": lambda random: torch.zeros(0),
    "a tensor of five dimensions": lambda random: torch.rand(1, 4, random.randint(1, 4), 8, 16),
    "a tensor of two dimensions": lambda random: torch.rand(random.randint(1, 4), 8),
    "samples None": lambda random: {"samples": None},
    "samples a list": lambda random: {"samples": [[0.0]]},
    "a prompt of one part": lambda random: [[torch.zeros(1, 77, 32)]],
    "a prompt without text": lambda random: [[None, {}]],
    "a prompt of text": lambda random: [["a cat", {}]],
    "a prompt without a dictionary": lambda random: [[torch.zeros(1, 77, 32), None]],
    "another MODEL": lambda random: _other_model(),
    "another VAE": lambda random: comfy.sd.VAE(sd={}),
    "another CONTROL_NET": lambda random: ControlBase(),
}
"""Values that need no good one, by what they are called."""


def _with_value(value: float) -> Callable[[Tensor, Random], Tensor]:
    def change(tensor: Tensor, random: Random) -> Tensor:
        changed = tensor.clone()
        changed.view(-1)[random.randrange(changed.numel())] = value
        return changed

    return change


CHANGED: dict[str, Callable[[Tensor, Random], Tensor]] = {
    "NaN inside": _with_value(float("nan")),
    "infinity inside": _with_value(float("inf")),
    "a batch of 0": lambda tensor, random: tensor[:0],
    "zero width": lambda tensor, random: tensor[:, :, :0],
    "zero height": lambda tensor, random: tensor[:, :0],
    "no pixels": lambda tensor, random: tensor[:, :0, :0],
    "one dimension fewer": lambda tensor, random: tensor[0],
    "one dimension more": lambda tensor, random: tensor[None],
    "two channels": lambda tensor, random: tensor[..., :2],
    "another count of latent channels": lambda tensor, random: tensor.repeat(1, random.choice((2, 4)), 1, 1),
    "whole numbers": lambda tensor, random: (tensor * 255).to(random.choice((torch.uint8, torch.int64))),
    "values to 255": lambda tensor, random: tensor * 255 + 3,
    "values from -1": lambda tensor, random: tensor * 2 - 1.6,
    "a very long picture": lambda tensor, random: tensor[:, :1].expand(-1, 100 * tensor.shape[2], -1, -1)[:, :, :1],
    "fewer": lambda tensor, random: tensor[: random.randint(1, len(tensor) - 1)],
    "wider latents": lambda tensor, random: tensor.repeat(1, 1, 1, 2),
    "narrower text": lambda tensor, random: tensor[..., : tensor.shape[-1] // 2],
    "grey": lambda tensor, random: tensor[..., :1],
    "half precision": lambda tensor, random: tensor.half(),
    "double precision": lambda tensor, random: tensor.double(),
    "overshoot": lambda tensor, random: tensor * 1.2 - 0.1,
}
"""Changes of the tensor in a good value."""

MASKS: dict[str, Callable[[Random], Any]] = {
    "a mask of NaN": lambda random: torch.full((1, 64, 128), torch.nan),
    "a mask of text": lambda random: "mask",
    "a mask of no size": lambda random: torch.zeros(0, 64, 128),
    "a mask of five dimensions": lambda random: torch.zeros(1, 1, 1, 64, 128),
    "a mask to 255": lambda random: torch.full((1, 64, 128), 255.0),
    "a mask of another size": lambda random: torch.ones(3, 20, 30),
    "a mask of None": lambda random: None,
}


def _changed(value: Any, kind: str, random: Random) -> Any:
    """A good IMAGE, LATENT, CONDITIONING or references with one thing wrong."""
    if kind == "as it is":
        return value
    if kind in MASKS:
        return {**value, "noise_mask": MASKS[kind](random)}
    if kind == "of another VAE":
        return dataclasses.replace(value, features=[maps[:, :-1] for maps in value.features])
    change = CHANGED[kind]
    if isinstance(value, Tensor):
        return change(value, random)
    if isinstance(value, dict):
        return {**value, "samples": change(value["samples"], random)}
    return [[change(text, random), values] for text, values in value]


class Wrong:
    """Hands out what `kind` says; `like` is the good value that some kinds change."""

    RETURN_TYPES = (IO.ANY,)
    FUNCTION = "run"
    CATEGORY = "tests"

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:
        return {"required": {"kind": ("STRING", {}), "seed": ("INT", {"max": 2**32})}, "optional": {"like": (IO.ANY,)}}

    def run(self, kind: str, seed: int, like: Any = None) -> tuple[Any]:
        random = Random(seed)
        return (MADE[kind](random) if kind in MADE else _changed(like, kind, random),)


class WrongList(Wrong):
    """A list: the good value and the wrong one, or nothing at all."""

    OUTPUT_IS_LIST = (True,)

    def run(self, kind: str, seed: int, like: Any = None) -> tuple[Any]:
        return ([] if kind == "no values" else [like, *super().run(kind, seed, like)],)


class Sink:
    """Has the node before it run, whatever comes out."""

    RETURN_TYPES = ()
    OUTPUT_NODE = True
    FUNCTION = "run"
    CATEGORY = "tests"

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:
        return {"required": {"value": (IO.ANY,)}}

    def run(self, value: Any) -> tuple[()]:
        return ()


NODE_CLASS_MAPPINGS = {"TestWrong": Wrong, "TestWrongList": WrongList, "TestSink": Sink}

gc.freeze()
"""ComfyUI collects garbage between prompts, every ten seconds. Among all that it imports, that takes longer on a busy
machine than hundreds of these prompts do."""
