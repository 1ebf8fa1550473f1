"""Graphs of Kijai's nodes become graphs of ours: what takes whose place, what stays, and what is refused."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from kijai_graph import FILE, kijai_graph, one_node_graph
from kijai_graphs.convert import convert
from kijai_graphs.graph import Graph, NotAWorkflowError
from kijai_graphs.report import CannotConvertError
from kijai_graphs.settings import Settings, UnknownSettingsError, weight_dtype

COMMAND = Path(__file__).resolve().parents[2] / "scripts" / "convert_workflow.py"


def node(graph: Graph, kind: str) -> dict[str, Any]:
    (found,) = (node for node in graph.nodes.values() if node["type"] == kind)
    return found


def source(graph: Graph, kind: str, name: str) -> tuple[str, int]:
    """Type of the node that an input's wire comes from, and which of its outputs."""
    found = graph.source(node(graph, kind), name)
    assert found is not None, (kind, name)
    return graph.nodes[found.node]["type"], found.slot


def test_each_node_has_what_stands_for_it() -> None:
    graph = Graph.read(kijai_graph())
    report = convert(graph)
    assert len(report.converted) == 5 and not report.left and not report.lost
    assert report.kept["LoadImage"] == 2 and {"ImageScale", "Reroute", "SaveImage"} < report.kept.keys()
    assert source(graph, "ToonCrafterSampler", "model") == ("ToonCrafterLoader", 0)
    assert source(graph, "ToonCrafterSampler", "latent") == ("ToonCrafterEncodeKeyframes", 2)
    assert source(graph, "ToonCrafterEncodeKeyframes", "keyframes") == ("ImageScale", 0)
    assert source(graph, "ToonCrafterEncodeKeyframes", "height") == ("GetImageSize", 1)
    assert source(graph, "ToonCrafterEncodeKeyframes", "clip_vision") == ("CLIPVisionLoader", 0)
    assert source(graph, "ToonCrafterDualRefDecode", "latent") == ("ToonCrafterSampler", 0)
    assert source(graph, "ToonCrafterDualRefDecode", "references") == ("ToonCrafterEncodeKeyframes", 3)
    assert source(graph, "SaveImage", "images") == ("ToonCrafterDualRefDecode", 0)
    assert node(graph, "ToonCrafterLoader")["widgets_values"] == [FILE, "default"]
    assert node(graph, "ToonCrafterEncodeKeyframes")["widgets_values"][2:4] == [16, 10]
    assert node(graph, "ToonCrafterSampler")["widgets_values"][:6] == [3, "fixed", 20, 7.0, 0.7, 1.0]


def test_the_rest_stays_where_it_was() -> None:
    before = kijai_graph()
    graph = Graph.read(kijai_graph())
    convert(graph)
    after = graph.saved()
    places = {one["id"]: one["pos"] for one in after["nodes"]}
    assert all(places[one["id"]] == one["pos"] for one in before["nodes"])
    assert after["groups"] == before["groups"] and after["version"] == before["version"]
    assert [one for one in after["nodes"] if one["type"] == "LoadImage"] == before["nodes"][:2]


def test_wires_are_told_alike_by_both_ends() -> None:
    """Every wire is in the list, at its output and at its input, and no two have one number."""
    graph = Graph.read(kijai_graph())
    convert(graph)
    saved = graph.saved()
    nodes = {one["id"]: one for one in saved["nodes"]}
    for number, start, output, end, slot, kind in saved["links"]:
        assert number in nodes[start]["outputs"][output]["links"]
        assert nodes[end]["inputs"][slot]["link"] == number
        assert kind in (nodes[start]["outputs"][output]["type"], "*")
    told = [entry["link"] for one in saved["nodes"] for entry in one["inputs"] if entry["link"] is not None]
    assert sorted(told) == sorted(wire[0] for wire in saved["links"])
    assert saved["last_link_id"] == max(told)


def test_one_node_that_does_all_becomes_three() -> None:
    graph = Graph.read(one_node_graph())
    report = convert(graph)
    assert not report.left and len(report.lost) == 1 and "mask" in report.lost[0]
    assert source(graph, "SaveImage", "images") == ("ToonCrafterDualRefDecode", 0)
    assert source(graph, "ImageBatch", "image2") == ("LoadImage", 0)
    assert source(graph, "ToonCrafterEncodeKeyframes", "clip_vision") == ("ToonCrafterLoader", 2)
    positive = graph.source(node(graph, "ToonCrafterEncodeKeyframes"), "positive")
    assert positive and graph.nodes[positive.node]["widgets_values"] == ["branches in the wind"]


def test_what_is_wired_into_a_setting_still_is() -> None:
    saved = kijai_graph()
    sampling = saved["nodes"][10]
    sampling["inputs"].append({"name": "cfg", "type": "FLOAT", "widget": {"name": "cfg"}, "link": 40})
    saved["nodes"].append({**saved["nodes"][12], "id": 30, "type": "PrimitiveFloat", "inputs": []})
    saved["nodes"][-1]["outputs"] = [{"name": "FLOAT", "type": "FLOAT", "links": [40]}]
    saved["links"].append([40, 30, 0, 10, 5, "FLOAT"])
    graph = Graph.read(saved)
    convert(graph)
    assert source(graph, "ToonCrafterSampler", "guidance_scale") == ("PrimitiveFloat", 0)


def test_what_cannot_be_converted_is_named_and_stays() -> None:
    one_picture, odd = one_node_graph(), kijai_graph()
    one_picture["nodes"][4]["inputs"][2]["link"] = None
    odd["nodes"][10]["widgets_values"] = [1, 2]
    noise = {**odd["nodes"][4], "id": 30, "type": "DynamiCrafterLoadInitNoise"}
    noise["outputs"] = [{"name": "init_noise", "type": "DCNOISE", "links": []}]
    odd["nodes"].append(noise)
    for saved, kinds in ((one_picture, ["I2V"]), (odd, ["Interpolation", "Decode", "LoadInitNoise"])):
        graph = Graph.read(saved)
        report = convert(graph)
        assert len(report.left) == len(kinds)
        assert all(kind in line for kind, line in zip(kinds, report.left, strict=True))
        assert all(any(one["type"].endswith(kind) for one in graph.nodes.values()) for kind in kinds)


@pytest.mark.parametrize(
    "saved",
    [
        *([], {}, {"nodes": 3}, {"nodes": [{"id": 1}]}, {"nodes": [], "links": [{}]}),
        *({"nodes": [{"id": 1, "type": "A", **more}]} for more in ({"pos": None}, {"inputs": [None]}, {"type": 3})),
        *({"nodes": 2 * [{"id": 1, "type": "A"}]}, {"nodes": [], "links": [[[1], 1, 0, 2, 0, "A"]]}),
    ],
    ids=str,
)
def test_what_is_no_workflow_is_refused(saved: object) -> None:
    with pytest.raises(NotAWorkflowError):
        Graph.read(saved)


def test_the_api_form_is_told_from_a_workflow() -> None:
    with pytest.raises(NotAWorkflowError, match="API form"):
        Graph.read({"1": {"class_type": "LoadImage", "inputs": {}}})


def test_a_graph_without_kijais_nodes_is_refused() -> None:
    saved = kijai_graph()
    saved["nodes"] = saved["nodes"][:2]
    with pytest.raises(CannotConvertError, match="LoadImage"):
        convert(Graph.read(saved))


def test_nodes_without_sockets_and_wires_that_begin_nowhere() -> None:
    saved = kijai_graph()
    for one in saved["nodes"]:
        one["outputs"] = None
    assert not any("Interpolation" in line for line in convert(Graph.read(saved)).converted)
    for one in saved["nodes"]:
        one["inputs"] = None
    convert(Graph.read(saved))


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_settings_that_are_no_numbers(value: float) -> None:
    with pytest.raises(UnknownSettingsError):
        Settings.read([value, 7, 1, 16, 0, "fixed", 10])


def test_settings_of_both_versions() -> None:
    assert Settings.read([20, 7, 1, 16, 0, "fixed", 10, "auto", 1]).prompt is None
    early = Settings.read([20, 7, 1, 16, "anime scene", 2, "randomize", 10, "auto"])
    assert (early.prompt, early.seed, early.after_run, early.fs) == ("anime scene", 2, "randomize", 10)
    assert Settings.read([20, 0.5, 1, 16, 0, "fixed", 10]).of_sampler[3] == 1.0
    with pytest.raises(UnknownSettingsError):
        Settings.read([20, "7", 1, 16, 0, "fixed", 10])


def test_dtypes_of_the_loader() -> None:
    files = [["a"], ["a", "fp16"], ["a", "fp32", False], ["a", "bf16", False], ["a", "auto", True]]
    assert [weight_dtype(values) for values in files] == ["default", "fp16", "default", "bf16", "fp8_e4m3fn"]


def test_command_needs_nothing_but_python(tmp_path: Path) -> None:
    """Without site packages: what a user has who has only ComfyUI's Python."""
    graph, out, broken = tmp_path / "graph.json", tmp_path / "out.json", tmp_path / "broken.json"
    graph.write_text(json.dumps(kijai_graph()))
    broken.write_text('{"nodes": ' + "9" * 5000 + "}")  # more digits than Python reads
    run = [sys.executable, "-S", str(COMMAND)]
    done = subprocess.run([*run, str(graph), "-o", str(out)], capture_output=True, text=True, check=True)
    assert "ToonCrafterInterpolation (node 10): Encode Keyframes" in done.stderr
    assert Graph.read(json.loads(out.read_text())).nodes[10]["type"] == "ToonCrafterEncodeKeyframes"
    failed = subprocess.run([*run, str(broken), "-o", str(out)], capture_output=True, text=True)
    assert failed.returncode == 1 and str(broken) in failed.stderr and "Traceback" not in failed.stderr
    assert sorted(path.name for path in tmp_path.iterdir()) == ["broken.json", "graph.json", "out.json"]
    itself = subprocess.run([*run, str(graph), "-o", str(graph)], capture_output=True, text=True)
    assert itself.returncode == 1 and "would replace" in itself.stderr
    assert json.loads(graph.read_text()) == kijai_graph()
    folder = subprocess.run([*run, str(graph), "-o", str(tmp_path)], capture_output=True, text=True)
    assert folder.returncode == 1 and "is a folder" in folder.stderr
