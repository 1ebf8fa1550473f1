"""What is run again when a graph is queued with one change."""

from __future__ import annotations

from bundled import scene_graph
from comfy_harness.prompts import changed
from comfy_harness.server import ComfyServer


def kept(history: dict) -> set[str]:
    """Nodes that were not run, since nothing about them had changed."""
    messages = dict(history["status"]["messages"])
    return set(messages["execution_cached"]["nodes"])


def test_another_seed_runs_only_what_it_must(comfy_server: ComfyServer) -> None:
    graph = scene_graph(comfy_server)
    comfy_server.run(changed(graph, "sampler", seed=100))
    history = comfy_server.run(changed(graph, "sampler", seed=101))
    assert graph.keys() - kept(history) == {"sampler", "decode", "save"}
