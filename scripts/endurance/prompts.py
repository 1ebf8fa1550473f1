"""Many queued prompts, some of them interrupted: every other one has to come to the same bits as at first."""

from __future__ import annotations

import random
import time
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from comfy_harness.prompts import Prompt, changed
from comfy_harness.server import ComfyServer, PromptFailed
from torch import Tensor

from tooncrafter_core.files.media import read_image

SHARE = 3
"""Every which prompt is interrupted, on average."""


@dataclass(frozen=True)
class Endured:
    """How it went.

    Attributes:
        prompts: that were queued.
        interrupted: of them.
        wrong: that failed, or whose frames were others than at first.
        memory: bytes of the server's own memory after each prompt.
    """

    prompts: int
    interrupted: int
    wrong: int
    memory: Sequence[int]

    @property
    def fifths(self) -> list[int]:
        """The least memory over each fifth of the prompts: it is more while the next one is at work already."""
        count = len(self.memory)
        return [min(self.memory[count * n // 5 : count * (n + 1) // 5]) for n in range(5)]


def endure_prompts(server: ComfyServer, variants: Sequence[Prompt], count: int, seed: int) -> Endured:
    """Queue `count` prompts at once, a variant after the other in random order, and interrupt a third of them anywhere.

    Args:
        server: a running one.
        variants: two graphs or more that save frames with the node "save".
        count: of prompts.
        seed: of what is random.
    """
    choice = random.Random(seed)
    expected = [frames_of(server, server.run(variant)) for variant in variants]  # with the time that loading takes
    started = time.monotonic()
    for variant in variants:
        frames_of(server, server.run(variant))
    usual = (time.monotonic() - started) / len(variants)
    order = _order(len(variants), count, choice)
    # ComfyUI does not save again what it has just saved.
    queued = [server.queue(changed(variants[v], "save", filename_prefix=f"run_{n}")) for n, v in enumerate(order)]
    interrupted = wrong = 0
    memory = []
    for variant, prompt in zip(order, queued, strict=True):
        if choice.randrange(SHARE) == 0:
            server.wait_for_start(prompt)
            time.sleep(choice.random() * usual)
            server.interrupt(prompt)
        try:
            wrong += not torch.equal(frames_of(server, server.wait(prompt)), expected[variant])
        except PromptFailed as failure:
            interrupted += failure.interrupted
            wrong += not failure.interrupted
        memory.append(server.memory())
    return Endured(count, interrupted, wrong, memory)


def frames_of(server: ComfyServer, history: dict[str, object]) -> Tensor:
    """The frames that a prompt saved, (n, 3, H, W); the files are removed."""
    files = server.outputs(history)
    frames = torch.stack([read_image(file) for file in files])
    for file in files:
        file.unlink()
    return frames


def _order(variants: int, count: int, choice: random.Random) -> list[int]:
    """Numbers of variants, none twice in a row: ComfyUI would have the second one's frames at hand."""
    order = [0]
    while len(order) < count:
        order.append((order[-1] + choice.randrange(1, variants)) % variants)
    return order
