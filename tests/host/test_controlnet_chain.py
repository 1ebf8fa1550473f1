"""The sketch encoder beside another ControlNet, here a random one in Stable Diffusion's layout and the bundled model's
sizes."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from bundled import FRAMES, SAMPLE, scene_graph, sketched_graph, true_frames, upload
from comfy_harness.prompts import Prompt, changed, node
from comfy_harness.server import ComfyServer
from results import latents_of
from torch import Tensor

OTHER = "other.safetensors"


@pytest.fixture(scope="module")
def graph(comfy_server: ComfyServer) -> Prompt:
    """With a sketch, the other ControlNet loaded, and two kinds of hints for it; nothing is decoded."""
    pictures = true_frames()
    made = sketched_graph(comfy_server)
    return {
        **{name: made[name] for name in made if name not in ("decode", "save")},
        "other": node("ControlNetLoader", control_net_name=OTHER),
        "each": node("LoadImage", image=upload(comfy_server, pictures, "hint_each")),
        "same": node("LoadImage", image=upload(comfy_server, pictures[:1], "hint_same")),
    }


def applied(after: str, image: str = "each", strength: float = 0.5, end: float = 1.0) -> dict[str, Any]:
    return node(
        "ControlNetApplyAdvanced",
        positive=[after, 0],
        negative=[after, 1],
        control_net=["other", 0],
        image=[image, 0],
        strength=strength,
        start_percent=0.0,
        end_percent=end,
    )


def sampled(server: ComfyServer, graph: Prompt, conditioning: str) -> Tensor:
    return latents_of(server, changed(graph, "sampler", positive=[conditioning, 0], negative=[conditioning, 1]))


@pytest.fixture(scope="module")
def chained(comfy_server: ComfyServer, graph: Prompt) -> Tensor:
    return sampled(comfy_server, {**graph, "after": applied("guide")}, "after")


def test_either_order_is_the_same(comfy_server: ComfyServer, graph: Prompt, chained: Tensor) -> None:
    guide = node(
        "ToonCrafterSketchGuide", **{**graph["guide"]["inputs"], "positive": ["before", 0], "negative": ["before", 1]}
    )
    found = sampled(comfy_server, {**graph, "before": applied("encode"), "guide": guide}, "guide")
    assert (found - chained).norm() < 1e-4 * chained.norm()


def test_both_guide(comfy_server: ComfyServer, graph: Prompt, chained: Tensor) -> None:
    sketch_alone = sampled(comfy_server, graph, "guide")
    other_alone = sampled(comfy_server, {**graph, "alone": applied("encode")}, "alone")
    for alone in (sketch_alone, other_alone):
        assert (chained - alone).norm() > 1e-3 * alone.norm()


def test_each_frame_has_its_own_picture(comfy_server: ComfyServer, graph: Prompt, chained: Tensor) -> None:
    """One picture serves all frames; it is the first frame's own, so the last frame sees more of a difference."""
    one = sampled(comfy_server, {**graph, "after": applied("guide", image="same")}, "after")
    differences = (one - chained).flatten(1).norm(dim=1)
    assert differences[-1] > differences[0]


def test_the_other_ends_where_it_is_told(comfy_server: ComfyServer, graph: Prompt, chained: Tensor) -> None:
    sketch_alone = sampled(comfy_server, graph, "guide")
    never, half = (sampled(comfy_server, {**graph, "after": applied("guide", end=end)}, "after") for end in (0.0, 0.5))
    assert torch.equal(never, sketch_alone)
    assert not torch.equal(half, chained) and not torch.equal(half, sketch_alone)


def test_a_stock_sampler_with_guidance_takes_the_chain(
    comfy_server: ComfyServer, graph: Prompt, chained: Tensor
) -> None:
    given = {**graph["sampler"]["inputs"], "positive": ["after", 0], "negative": ["after", 1]}
    wires = {name: given[name] for name in ("model", "positive", "negative")}
    walk = {
        "seed": 0,
        "steps": SAMPLE["steps"],
        "sampler_name": "euler",
        "scheduler": "simple",
        "denoise": 1.0,
        "cfg": 1.5,
    }
    sampler = node("KSampler", latent_image=given["latent"], **wires, **walk)
    found = latents_of(comfy_server, {**graph, "after": applied("guide"), "sampler": sampler})
    assert found.shape == chained.shape == (FRAMES, *chained.shape[1:])
    assert 0.3 < found.std() / chained.std() < 3


def test_without_either_nothing_changes(comfy_server: ComfyServer, graph: Prompt) -> None:
    """Strength 0 of both is the graph without them."""
    plain = scene_graph(comfy_server)
    guide = node("ToonCrafterSketchGuide", **{**graph["guide"]["inputs"], "strength": 0.0})
    found = sampled(comfy_server, {**graph, "guide": guide, "after": applied("guide", strength=0.0)}, "after")
    assert torch.equal(found, latents_of(comfy_server, plain))
