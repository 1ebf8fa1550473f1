"""Hundreds of wrong inputs, over HTTP to one real server: each is refused in words a user can act on, before a model
runs, and the server goes on as before."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch
from bundled import sketched_graph
from comfy_harness.prompts import Prompt, batch, changed, node
from comfy_harness.server import ComfyServer, PromptFailed, PromptRejected
from faults import CHANGED, OURS, Fault, emitted, faults_of, typed
from frame_nodes import FRAME_NODES, SHOTS
from results import frames_of
from torch import Tensor

LEAST_FAULTS = 500
STEPS = 2
LOADS = "Requested to load"
"""In the log for each model that goes to the device."""
NO_SETTING = ("None", "NaN", "an empty list", "an object")
"""Kinds that are neither number nor choice nor text."""

SAVES = "gif"
"""Of the nodes beside the main graph the one without an output."""

ACCEPTED = [
    ("guide", "sketches", "grey", "a grey picture is a picture"),
    ("guide", "sketches", "half precision", "pictures are converted to float32"),
    ("guide", "sketches", "double precision", "likewise"),
    ("guide", "sketches", "overshoot", "resizing takes values a little beyond 0 to 1"),
    ("encode", "keyframes", "half precision", "pictures are converted to float32"),
    ("sampler", "latent", "half precision", "ComfyUI converts latents"),
    ("sampler", "latent", "a mask of another size", "ComfyUI resizes masks and repeats them over the batch"),
    ("sampler", "latent", "a mask of None", "as if there were none"),
]
"""What looks wrong and works: node, input, kind and why."""

TYPED_ACCEPTED: list[tuple[str, str, Any]] = [
    ("encode", "frames", "16"),
    ("guide", "strength", "0.6"),
    ("guide", "frame_indices", 7),
    ("decode", "two_pass", "yes"),
]
"""What ComfyUI itself turns into the widget's kind of value."""


@dataclass(frozen=True)
class Outcome:
    """What came of a fault: who refused it (nobody: it ran), the kind of exception, and the message."""

    fault: Fault
    by: str
    exception: str
    message: str

    def __str__(self) -> str:
        return f"{self.fault}: {self.by or 'accepted'} {self.exception}: {self.message}"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ComfyServer]:
    base = tmp_path_factory.mktemp("wrong_inputs")
    (base / "custom_nodes").mkdir()
    (base / "input").mkdir()
    (base / "input" / "shots.jsonl").write_text(SHOTS)
    (base / "custom_nodes" / "wrong_nodes.py").symlink_to(Path(__file__).with_name("wrong_nodes.py"))
    with ComfyServer(base, arguments=("--cpu", "--cache-lru", "10000")) as running:  # keeps what good nodes gave
        yield running


@pytest.fixture(scope="module")
def good(server: ComfyServer) -> Prompt:
    """A good graph with a sketch. Beside it the same once more, whose values may go to any node without a circle, and
    three keyframes in segments of 8."""
    graph = changed(changed(sketched_graph(server), "sampler", steps=STEPS), "encode", loop=False)
    names = [graph[name]["inputs"]["image"] for name in ("keyframes_0", "keyframes_1", "keyframes_0")]
    kept = {f"kept_{name}": _renamed(given) for name, given in graph.items() if name != "save"}
    two = changed(kept, "kept_encode", frames=8, keyframes=["three", 0])["kept_encode"]
    return {**graph, **kept, **batch(names, "three"), "two": two}


def _renamed(given: dict[str, Any]) -> dict[str, Any]:
    """A node of the graph's copy, whose wires come from there."""
    inputs = given["inputs"].items()
    return {**given, "inputs": {key: [f"kept_{v[0]}", v[1]] if isinstance(v, list) else v for key, v in inputs}}


@pytest.fixture(scope="module")
def kinds(server: ComfyServer) -> dict[str, dict[str, str]]:
    """Types of the inputs, by our nodes' names."""
    found = {}
    for name, info in server.object_info().items():
        inputs = {**info["input"].get("required", {}), **info["input"].get("optional", {})}
        found[name] = {key: "COMBO" if isinstance(given[0], list) else given[0] for key, given in inputs.items()}
    return found


@pytest.fixture(scope="module")
def first_frames(server: ComfyServer, good: Prompt) -> Tensor:
    """Of the good graph, before anything wrong; what is beside it runs too, and models are unloaded after it."""
    frames = frames_of(server, {**good, "sink": node("TestSink", value=["two", 0])})
    server.post_json("/free", {"unload_models": True})
    return frames


def needed(prompt: Prompt, name: str) -> Prompt:
    """A node with all that is before it."""
    wires = [value for value in prompt[name]["inputs"].values() if isinstance(value, list)]
    return {name: prompt[name]} | {key: given for before, _ in wires for key, given in needed(prompt, before).items()}


def outcomes_of(server: ComfyServer, faults: list[Fault]) -> list[Outcome]:
    """Queue all of them at once, each with what its faulty node needs, and wait for the last."""
    found, queued = [], {}
    for fault in faults:
        try:
            sink = {"sink": node("TestSink", value=[fault.node, 0])} if fault.node != SAVES else {}
            queued[server.queue(needed(fault.prompt, fault.node) | sink)] = fault
        except PromptRejected as refusal:
            found.append(Outcome(fault, "ComfyUI", "", str(refusal)))
    *_, last = queued
    with suppress(PromptFailed):
        server.wait(last)
    history = server.get_json("/history")
    for prompt_id, fault in queued.items():
        errors = [details for event, details in history[prompt_id]["status"]["messages"] if event == "execution_error"]
        details = errors[0] if errors else {"node_id": "", "exception_type": "", "exception_message": ""}
        exception = details["exception_type"].rsplit(".")[-1]
        found.append(Outcome(fault, details["node_id"], exception, details["exception_message"].strip()))
    return found


@pytest.fixture(scope="module")
def outcomes(
    server: ComfyServer, good: Prompt, kinds: dict[str, dict[str, str]], first_frames: Tensor
) -> list[Outcome]:
    loads = server.log_text().count(LOADS)
    found = outcomes_of(server, list(faults_of(good, kinds)))
    assert server.log_text().count(LOADS) == loads > 0, "a model was loaded for a wrong input"
    return found


def lines(outcomes: list[Outcome]) -> str:
    return "\n".join(map(str, outcomes))


def test_there_are_many_of_every_node(outcomes: list[Outcome]) -> None:
    counts = Counter(outcome.fault.node for outcome in outcomes)
    assert len(outcomes) >= LEAST_FAULTS and set(counts) == set(OURS), counts


def test_none_is_silently_accepted(outcomes: list[Outcome]) -> None:
    accepted = [outcome for outcome in outcomes if not outcome.by]
    assert not accepted, lines(accepted)


def test_each_is_refused_by_its_own_node_or_by_the_host(outcomes: list[Outcome]) -> None:
    elsewhere = [o for o in outcomes if o.by not in ("", "ComfyUI", o.fault.node)]
    assert not elsewhere, lines(elsewhere)


def test_no_error_is_raw(outcomes: list[Outcome]) -> None:
    raw = [o for o in outcomes if o.exception not in ("", "ValueError", "NotFiniteError", "CheckpointError")]
    assert not raw, lines(raw)


def test_messages_name_the_input_and_what_to_do(outcomes: list[Outcome]) -> None:
    ours = [outcome for outcome in outcomes if outcome.exception]
    unclear = [o for o in ours if not names(o.message, o.fault.name) or not advises(o.message)]
    assert not unclear, lines(unclear)
    long = [outcome for outcome in ours if len(outcome.message) > 600]
    assert not long, lines(long)


def names(message: str, given: str) -> bool:
    return given.rstrip("s") in message or (given == "frame_indices" and "frame ind" in message)


def advises(message: str) -> bool:
    words = (
        "expected",
        "Connect",
        "Look at",
        "give each frame",
        "give one index",
        "write ",
        "Use ",
        "sample again",
        "Encode ",
    )
    return any(word in message for word in words)


def test_nothing_is_blamed_on_precision_that_came_in(outcomes: list[Outcome]) -> None:
    """NaN in a picture, a sketch or a number is not the U-Net's fault."""
    blamed = [o for o in outcomes if "NaN" in o.fault.kind and o.fault.name != "latent" and "unet" in o.message]
    assert not blamed, lines(blamed)


def test_what_is_accepted_works(server: ComfyServer, good: Prompt, outcomes: list[Outcome]) -> None:
    faults = [emitted(good, (n, i), kind, 1, good[n]["inputs"][i]) for n, i, kind, _ in ACCEPTED]
    faults += [typed(good, *given) for given in TYPED_ACCEPTED]
    refused = [outcome for outcome in outcomes_of(server, faults) if outcome.by]
    assert not refused, lines(refused)


def test_every_node_of_the_pack_gets_wrong_inputs(good: Prompt, kinds: dict[str, dict[str, str]]) -> None:
    tried = {good[name]["class_type"] for name in OURS} | {made["class_type"] for made in FRAME_NODES.values()}
    assert {name for name in kinds if name.startswith("ToonCrafter")} == tried


def test_nodes_beside_the_main_graph_refuse_what_they_cannot_use(
    server: ComfyServer, good: Prompt, kinds: dict[str, dict[str, str]]
) -> None:
    """Over a wire to each of their inputs: what no widget takes and no node gives, and wrong pictures."""
    graph, faults = {**good, **FRAME_NODES}, []
    for name, made in FRAME_NODES.items():
        for given, value in made["inputs"].items():
            faults += [emitted(graph, (name, given), kind, 0) for kind in NO_SETTING]
            changes = CHANGED["IMAGE"] if kinds[made["class_type"]][given] == "IMAGE" else ()
            faults += [emitted(graph, (name, given), kind, 1, value) for kind in changes]
    found = outcomes_of(server, faults)
    refusals = ("ValueError", "NotFiniteError")
    unclear = [o for o in found if o.by != o.fault.node or o.exception not in refusals or not told(o)]
    assert not unclear, lines(unclear)


def told(outcome: Outcome) -> bool:
    return outcome.fault.name.rstrip("s") in outcome.message


def test_a_good_graph_gives_the_same_frames_as_before(
    server: ComfyServer, good: Prompt, first_frames: Tensor, outcomes: list[Outcome]
) -> None:
    server.free()
    assert torch.equal(frames_of(server, good), first_frames)
