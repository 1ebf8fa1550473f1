"""An interruption takes effect within a pass, not after it, and an impossible size is refused at once."""

from __future__ import annotations

import time

import pytest
import torch
from comfy_harness.prompts import Prompt, changed, interpolation, node, with_sketches
from comfy_harness.server import ComfyServer, PromptFailed
from results import frames_of

LARGE, MEDIUM = {"width": 512, "height": 320, "frames": 10}, {"width": 256, "height": 160, "frames": 8}
"""Where a pass of the U-Net, and a decode, take seconds."""

SHARE = 0.4
"""Of the time of a whole pass: interrupted at a third of it, it would else take two thirds more."""


def one_step(drawn: dict[str, str], sizes: dict[str, int], seed: int) -> Prompt:
    sample = {"steps": 1, "guidance_scale": 1.0, "seed": seed}
    return interpolation([drawn["first"], drawn["last"]], encode=sizes, sample=sample, two_pass=False)


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


def test_within_a_pass_of_the_unet(comfy_server: ComfyServer, drawn: dict[str, str]) -> None:
    comfy_server.run(sampling_of(one_step(drawn, LARGE, 77)))  # keyframes are encoded from here on
    whole = seconds(comfy_server, sampling_of(one_step(drawn, LARGE, 78)))
    failure, took = interrupted_after(comfy_server, sampling_of(one_step(drawn, LARGE, 79)), whole)
    assert failure.interrupted and failure.node_id == "sampler"
    assert took < SHARE * whole, f"{took:.1f} of {whole:.1f} s"


def test_within_a_pass_with_sketches(comfy_server: ComfyServer, drawn: dict[str, str]) -> None:
    """The sketch encoder comes first in a pass. Keyframes are those of the test before, encoded already."""

    def sampling(seed: int) -> Prompt:
        return sampling_of(with_sketches(one_step(drawn, LARGE, seed), [drawn["sketch_07"]], frame_indices="7"))

    whole = seconds(comfy_server, sampling(78))
    failure, took = interrupted_after(comfy_server, sampling(79), whole)
    assert failure.interrupted and failure.node_id == "sampler"
    assert took < SHARE * whole, f"{took:.1f} of {whole:.1f} s"


def test_within_a_decode_and_the_next_prompt_is_right(comfy_server: ComfyServer, drawn: dict[str, str]) -> None:
    prompt = one_step(drawn, MEDIUM, 77)
    comfy_server.run(sampling_of(prompt))
    started = time.monotonic()
    expected = frames_of(comfy_server, prompt)
    whole = time.monotonic() - started
    failure, took = interrupted_after(comfy_server, changed(prompt, "decode", two_pass=True), whole)
    assert failure.interrupted and failure.node_id == "decode"
    assert took < SHARE * whole, f"{took:.1f} of {whole:.1f} s"
    assert torch.equal(frames_of(comfy_server, changed(prompt, "save", filename_prefix="again")), expected)


def test_within_the_encoding_of_keyframes(comfy_server: ComfyServer, drawn: dict[str, str]) -> None:
    """The vision tower's two passes and the encoder's two."""

    def encoding(fps: int) -> Prompt:
        """Nothing but the keyframes; another frame rate has them encoded again."""
        prompt = interpolation([drawn["first"], drawn["last"]], encode={**LARGE, "fps": fps})
        saved = node("SaveLatent", samples=["encode", 2], filename_prefix="interrupted")
        return {
            **{name: given for name, given in prompt.items() if name not in ("sampler", "decode", "save")},
            "saved": saved,
        }

    whole = seconds(comfy_server, encoding(11))
    failure, took = interrupted_after(comfy_server, encoding(12), whole)
    assert failure.interrupted and failure.node_id == "encode"
    assert took < SHARE * whole, f"{took:.1f} of {whole:.1f} s"


def test_within_match_colours(comfy_server: ComfyServer) -> None:
    def matching(strength: float) -> Prompt:
        frames = node("EmptyImage", width=512, height=320, batch_size=31, color=0xF08040)
        matched = node("ToonCrafterMatchColours", frames=["frames", 0], frames_per_segment="16", strength=strength)
        last = node("ImageFromBatch", image=["matched", 0], batch_index=30, length=1)
        shown = node("PreviewImage", images=["last", 0])
        return {"frames": frames, "matched": matched, "last": last, "shown": shown}

    whole = seconds(comfy_server, matching(0.2))
    failure, took = interrupted_after(comfy_server, matching(0.3), whole)
    assert failure.interrupted and failure.node_id == "matched"
    assert took < SHARE * whole, f"{took:.1f} of {whole:.1f} s"


def test_an_impossible_size_is_refused_at_once(comfy_server: ComfyServer, drawn: dict[str, str]) -> None:
    """More than any computer has: 4096 x 4096 in 64 frames and 20 segments."""
    huge = {"width": 4096, "height": 4096, "frames": 64}
    started = time.monotonic()
    with pytest.raises(PromptFailed, match=r"4096 x 4096 .* needs more memory than there is") as failure:
        comfy_server.run(interpolation([drawn["first"], drawn["last"]] * 10, encode=huge))
    assert failure.value.node_id == "encode"
    assert time.monotonic() - started < 10
