"""An interruption takes effect within a pass, not after it, and an impossible size is refused at once."""

from __future__ import annotations

import time

import pytest
import torch
from comfy_harness.prompts import Prompt, changed, interpolation, node
from comfy_harness.server import ComfyServer, PromptFailed
from results import frames_of

SIZES = {"width": 512, "height": 320}
SHARE = 0.4
"""Of the time of a whole pass: interrupted at a third of it, it would else take two thirds more."""


@pytest.fixture(scope="module")
def decoding(comfy_server: ComfyServer, drawn: dict[str, str]) -> Prompt:
    """A graph of one step and one decode, of which only the decode is to be run."""
    prompt = interpolation(
        [drawn["first"], drawn["last"]],
        encode=SIZES,
        sample={"steps": 1, "guidance_scale": 1.0, "seed": 77},
        two_pass=False,
    )
    comfy_server.run(sampling_of(prompt))
    return prompt


def sampling_of(prompt: Prompt) -> Prompt:
    """As far as the latents."""
    saved = node("SaveLatent", samples=["sampler", 0], filename_prefix="interrupted")
    return {**{name: given for name, given in prompt.items() if name not in ("decode", "save")}, "saved": saved}


def seconds(server: ComfyServer, prompt: Prompt) -> float:
    started = time.monotonic()
    server.run(prompt)
    return time.monotonic() - started


def interrupted_after(server: ComfyServer, prompt: Prompt, whole: float) -> tuple[PromptFailed, float]:
    """How a prompt ended that was interrupted at a third of its time, and how long that took."""
    queued = server.queue(prompt)
    time.sleep(whole / 3)
    asked = time.monotonic()
    server.interrupt()
    with pytest.raises(PromptFailed) as failure:
        server.wait(queued)
    return failure.value, time.monotonic() - asked


def test_within_a_pass_of_the_unet(comfy_server: ComfyServer, decoding: Prompt) -> None:
    whole = seconds(comfy_server, sampling_of(changed(decoding, "sampler", seed=78)))
    failure, took = interrupted_after(comfy_server, sampling_of(changed(decoding, "sampler", seed=79)), whole)
    assert failure.interrupted and failure.node_id == "sampler"
    assert took < SHARE * whole, f"{took:.1f} of {whole:.1f} s"


def test_within_a_decode_and_the_next_prompt_is_right(comfy_server: ComfyServer, decoding: Prompt) -> None:
    started = time.monotonic()
    expected = frames_of(comfy_server, decoding)
    whole = time.monotonic() - started
    failure, took = interrupted_after(comfy_server, changed(decoding, "decode", two_pass=True), whole)
    assert failure.interrupted and failure.node_id == "decode"
    assert took < SHARE * whole, f"{took:.1f} of {whole:.1f} s"
    again = changed(decoding, "save", filename_prefix="again")
    assert torch.equal(frames_of(comfy_server, changed(again, "decode", two_pass=False)), expected)


def test_an_impossible_size_is_refused_at_once(comfy_server: ComfyServer, drawn: dict[str, str]) -> None:
    """More than any computer has: 4096 x 4096 in 64 frames and 20 segments."""
    huge = {"width": 4096, "height": 4096, "frames": 64}
    started = time.monotonic()
    with pytest.raises(PromptFailed, match=r"4096 x 4096 .* needs more memory than there is") as failure:
        comfy_server.run(interpolation([drawn["first"], drawn["last"]] * 10, encode=huge))
    assert failure.value.node_id == "encode"
    assert time.monotonic() - started < 10
