"""A server that is killed in the middle of its work: started again on the same folder, it gives the same bits."""

from __future__ import annotations

import random
import time
from collections.abc import Iterator
from pathlib import Path

import torch
from comfy_harness.prompts import Prompt, changed
from comfy_harness.server import ROOT, ComfyServer

from .prompts import frames_of

_DRAWINGS = ROOT / "assets" / "keyframes"


def kill_servers(base: Path, prompt: Prompt, count: int, seed: int) -> Iterator[bool]:
    """Start a server `count` times more than once, and kill each but the last while it draws another prompt.

    Args:
        base: ComfyUI's base directory, the same for all.
        prompt: that saves frames from the pack's own drawings.
        count: of kills.
        seed: of what is random.

    Yields:
        of each server after the first whether its frames are the first one's and its drawings the pack's
    """
    choice, first = random.Random(seed), None
    for number in range(count + 1):
        with ComfyServer(base) as server:
            started = time.monotonic()
            frames = frames_of(server, server.run(prompt))
            usual = time.monotonic() - started
            if first is None:
                first = frames
            else:
                yield torch.equal(frames, first) and _drawings_are_whole(base / "input")
            if number < count:
                server.wait_for_start(server.queue(changed(prompt, "sampler", seed=1 + number)))
                time.sleep(choice.random() * usual)
                server.kill()


def _drawings_are_whole(folder: Path) -> bool:
    return all((folder / f"tooncrafter_{d.name}").read_bytes() == d.read_bytes() for d in _DRAWINGS.iterdir())
