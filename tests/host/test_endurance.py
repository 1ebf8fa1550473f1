"""Rough use of one server, in small numbers; `scripts/endure.py` has large ones."""

from __future__ import annotations

import pytest
from comfy_harness.main import REFUSED, stay_on_this_machine
from comfy_harness.prompts import Prompt, changed, interpolation, with_sketches
from comfy_harness.server import ComfyServer
from endurance.allocations import fail_allocations
from endurance.prompts import endure_prompts


@pytest.fixture
def prompt(drawn: dict[str, str]) -> Prompt:
    """Every model at work, quickly."""
    sizes, sampling = {"width": 64, "height": 64, "frames": 3}, {"steps": 1, "guidance_scale": 1.0}
    plain = interpolation([drawn["first"], drawn["last"]], encode=sizes, sample=sampling, two_pass=False)
    return with_sketches(plain, [drawn["sketch_07"]], "1")


def test_many_prompts_some_of_them_interrupted(comfy_server: ComfyServer, prompt: Prompt) -> None:
    found = endure_prompts(comfy_server, [prompt, changed(prompt, "sampler", seed=1)], 6, seed=4)
    assert found.wrong == 0
    assert 0 < found.interrupted < 6
    assert len(found.memory) == 6


def test_memory_runs_out_in_any_node(comfy_server: ComfyServer, prompt: Prompt) -> None:
    sites = list(fail_allocations(comfy_server, prompt, ["encode", "sampler", "decode"], 1))
    assert [site for site in sites if not site.right] == []
    assert [site.name for site in sites if site.message] == ["encode", "sampler"], "decoding goes on in smaller parts"


@pytest.mark.parametrize(
    ("event", "arguments"),
    [("socket.connect", (None, ("192.0.2.1", 80))), ("socket.getaddrinfo", ("example.org", 443))],
)
def test_the_server_reaches_no_other_machine(
    comfy_server: ComfyServer, event: str, arguments: tuple[object, ...]
) -> None:
    """The hook refuses; that the server has it shows in that it works, and in its log at its end."""
    with pytest.raises(OSError, match=rf"{REFUSED} {arguments[0] or '192.0.2.1'}"):
        stay_on_this_machine(event, arguments)
    stay_on_this_machine("socket.connect", (None, ("127.0.0.1", comfy_server.port)))
