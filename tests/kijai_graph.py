"""A workflow with Kijai's DynamiCrafter nodes, as ComfyUI's page saves it; written here, small and whole."""

from __future__ import annotations

import copy
from typing import Any

Json = dict[str, Any]

FILE = "tooncrafter_512_interp-pruned-fp16.safetensors"


def kijai_graph() -> Json:
    """Two drawings at 128 x 64, model and towers from files of their own, a reroute on the model's wire, a PNG for each
    frame, and a group."""
    nodes = [
        _node(1, "LoadImage", {}, ["IMAGE", "MASK"], ["tooncrafter_first.png", "image"]),
        _node(2, "LoadImage", {}, ["IMAGE", "MASK"], ["tooncrafter_last.png", "image"]),
        _node(3, "ImageBatch", {"image1": 11, "image2": 12}, ["IMAGE"], []),
        _node(13, "ImageScale", {"image": 24}, ["IMAGE"], ["bilinear", 128, 64, "center"]),
        _node(4, "DownloadAndLoadDynamiCrafterModel", {}, ["DCMODEL"], [FILE, "auto", False]),
        _node(5, "DownloadAndLoadCLIPModel", {}, ["CLIP"], ["stable-diffusion-2-1-clip-fp16.safetensors"]),
        _node(6, "DownloadAndLoadCLIPVisionModel", {}, ["CLIP_VISION"], ["CLIP-ViT-H-fp16.safetensors"]),
        _node(7, "CLIPTextEncode", {"clip": 13}, ["CONDITIONING"], ["a ball"]),
        _node(8, "CLIPTextEncode", {"clip": 14}, ["CONDITIONING"], [""]),
        _node(9, "Reroute", {"": 15}, ["DCMODEL"], []),
        _node(
            10,
            "ToonCrafterInterpolation",
            {"model": 16, "clip_vision": 17, "positive": 18, "negative": 19, "images": 20},
            ["LATENT"],
            [20, 7, 1, 16, 3, "fixed", 10, "auto", 1],
        ),
        _node(11, "ToonCrafterDecode", {"model": 21, "latent": 22}, ["IMAGE"], ["auto", False]),
        _node(12, "SaveImage", {"images": 23}, [], ["kijai"]),
    ]
    wires = [
        [11, 1, 0, 3, 0, "IMAGE"],
        [12, 2, 0, 3, 1, "IMAGE"],
        [13, 5, 0, 7, 0, "CLIP"],
        [14, 5, 0, 8, 0, "CLIP"],
        [15, 4, 0, 9, 0, "*"],
        [16, 9, 0, 10, 0, "DCMODEL"],
        [17, 6, 0, 10, 1, "CLIP_VISION"],
        [18, 7, 0, 10, 2, "CONDITIONING"],
        [19, 8, 0, 10, 3, "CONDITIONING"],
        [20, 13, 0, 10, 4, "IMAGE"],
        [21, 4, 0, 11, 0, "DCMODEL"],
        [22, 10, 0, 11, 1, "LATENT"],
        [23, 11, 0, 12, 0, "IMAGE"],
        [24, 3, 0, 13, 0, "IMAGE"],
    ]
    for wire in wires:
        next(node for node in nodes if node["id"] == wire[1])["outputs"][wire[2]]["links"].append(wire[0])
    groups = [{"title": "Drawings", "bounding": [0, 0, 600, 300], "color": "#3f789e", "font_size": 24, "flags": {}}]
    rest = {"last_node_id": 13, "last_link_id": 24, "groups": groups, "config": {}, "extra": {}, "version": 0.4}
    return {**rest, "nodes": nodes, "links": wires}


def one_node_graph() -> Json:
    """The same with DynamiCrafterI2V in an early version, which decodes too, takes two pictures and has the prompt
    typed in."""
    graph = kijai_graph()
    kept = {1, 2, 4, 12}
    sampling = _node(
        20,
        "DynamiCrafterI2V",
        {"model": 31, "image": 32, "image2": 33, "mask": 34},
        ["IMAGE", "IMAGE"],
        [40, 7, 1, 16, "branches in the wind", 5, "fixed", 8, True, "auto"],
    )
    graph["nodes"] = [node for node in graph["nodes"] if node["id"] in kept] + [sampling]
    graph["links"] = [
        [31, 4, 0, 20, 0, "DCMODEL"],
        [32, 1, 0, 20, 1, "IMAGE"],
        [33, 2, 0, 20, 2, "IMAGE"],
        [34, 1, 1, 20, 3, "MASK"],
        [23, 20, 0, 12, 0, "IMAGE"],
    ]
    return copy.deepcopy(graph)


def _node(number: int, kind: str, inputs: dict[str, int], outputs: list[str], values: list[Any]) -> Json:
    return {
        "id": number,
        "type": kind,
        "pos": [number * 400, 100],
        "size": {"0": 315, "1": 200},
        "flags": {},
        "order": number,
        "mode": 0,
        "inputs": [{"name": name, "type": "*", "link": wire} for name, wire in inputs.items()],
        "outputs": [{"name": wire, "type": wire, "links": []} for wire in outputs],
        "properties": {"Node name for S&R": kind},
        "widgets_values": values,
    }
