"""Stock nodes on our wires, with the bundled model: what the pictures show."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from bundled import (
    FRAMES,
    MIDDLE,
    SCENE,
    SKETCH_STRENGTH,
    STEPS,
    assert_in_betweens,
    scene_graph,
    scene_sketch,
    sketched_graph,
    true_frames,
    upload,
)
from comfy_harness.prompts import Prompt, changed, node
from comfy_harness.server import ComfyServer
from results import frames_of, latents_of
from torch import Tensor

from tooncrafter_core.evaluation.metrics import psnr
from tooncrafter_core.evaluation.scenes import SIZE, is_at, picture

WIDTH, HEIGHT = SIZE
BLACK, WHITE = 0, 0xFFFFFF


@pytest.fixture(scope="module")
def graph(comfy_server: ComfyServer) -> Prompt:
    return scene_graph(comfy_server)


@pytest.fixture(scope="module")
def plain(comfy_server: ComfyServer, graph: Prompt) -> Tensor:
    return frames_of(comfy_server, graph)


def stock(prompt: Prompt, class_type: str, **settings: Any) -> Prompt:
    """The same graph with a stock sampler."""
    given = prompt["sampler"]["inputs"]
    wires = {name: given[name] for name in ("model", "positive", "negative")}
    return {**prompt, "sampler": node(class_type, latent_image=given["latent"], cfg=1.0, **wires, **settings)}


def one_colour(frames: int, colour: int) -> dict[str, Any]:
    """A node that makes pictures of one colour."""
    return node("EmptyImage", width=WIDTH, height=HEIGHT, batch_size=frames, color=colour)


def ksampler(prompt: Prompt, sampler: str = "euler", scheduler: str = "simple") -> Prompt:
    walk = {"sampler_name": sampler, "scheduler": scheduler}
    return stock(prompt, "KSampler", seed=0, steps=STEPS, denoise=1.0, **walk)


@pytest.mark.parametrize("sampler", ["euler", "euler_ancestral", "dpmpp_2m", "dpmpp_2m_sde", "uni_pc", "lcm"])
def test_ksampler_draws_in_betweens(comfy_server: ComfyServer, graph: Prompt, sampler: str) -> None:
    assert_in_betweens(frames_of(comfy_server, ksampler(graph, sampler)))


@pytest.mark.parametrize("scheduler", ["normal", "sgm_uniform", "ddim_uniform", "karras"])
def test_schedulers_draw_in_betweens(comfy_server: ComfyServer, graph: Prompt, scheduler: str) -> None:
    assert_in_betweens(frames_of(comfy_server, ksampler(graph, "euler", scheduler)))


def test_ksampler_advanced_draws_in_betweens(comfy_server: ComfyServer, graph: Prompt) -> None:
    walk = {"noise_seed": 0, "steps": STEPS, "sampler_name": "euler", "scheduler": "simple"}
    all_steps = {"add_noise": "enable", "start_at_step": 0, "end_at_step": STEPS}
    prompt = stock(graph, "KSamplerAdvanced", **walk, **all_steps, return_with_leftover_noise="disable")
    assert_in_betweens(frames_of(comfy_server, prompt))


def test_custom_samplers_draw_in_betweens(comfy_server: ComfyServer, graph: Prompt) -> None:
    conditions = {"positive": ["encode", 0], "negative": ["encode", 1], "cfg": 1.0}
    walk = {"sampler": ["euler", 0], "sigmas": ["sigmas", 0], "latent_image": ["encode", 2]}
    parts = {
        **graph,
        "euler": node("KSamplerSelect", sampler_name="euler"),
        "sigmas": node("BasicScheduler", model=["loader", 0], scheduler="simple", steps=STEPS, denoise=1.0),
        "noise": node("RandomNoise", noise_seed=0),
        "guider": node("CFGGuider", model=["loader", 0], **conditions),
    }
    custom = node("SamplerCustom", model=["loader", 0], add_noise=True, noise_seed=0, **conditions, **walk)
    advanced = node("SamplerCustomAdvanced", noise=["noise", 0], guider=["guider", 0], **walk)
    one, other = (frames_of(comfy_server, {**parts, "sampler": sampler}) for sampler in (custom, advanced))
    assert_in_betweens(one)
    assert (one - other).abs().max() <= 1.5 / 255


PATCHES = {
    "RescaleCFG": {"multiplier": 0.7},
    "ModelSamplingDiscrete": {"sampling": "v_prediction", "zsnr": True},
    "EasyCache": {"reuse_threshold": 0.2, "start_percent": 0.15, "end_percent": 0.95, "verbose": False},
}
MANY = 12
"""Steps that are so close to one another that EasyCache leaves some out."""


@pytest.mark.parametrize("patch", PATCHES)
def test_model_patches_keep_the_motion(comfy_server: ComfyServer, graph: Prompt, patch: str) -> None:
    steps = MANY if patch == "EasyCache" else STEPS
    patched = {**graph, "patched": node(patch, model=["loader", 0], **PATCHES[patch])}
    with_patch, without = (
        frames_of(comfy_server, changed(ksampler(patched), "sampler", model=[name, 0], cfg=1.5, steps=steps))
        for name in ("patched", "loader")
    )
    assert_in_betweens(with_patch)
    assert not torch.equal(with_patch, without)


@pytest.mark.parametrize("tiled", [False, True], ids=["whole", "tiled"])
def test_stock_vae_nodes_give_the_pictures_back(comfy_server: ComfyServer, graph: Prompt, tiled: bool) -> None:
    """Without references: what the latents hold of 16 pictures, and no more."""
    frames = upload(comfy_server, true_frames(), "scene_frames")
    tiles = {"tile_size": 64, "overlap": 0, "temporal_size": 64, "temporal_overlap": 8} if tiled else {}
    there, back = ("VAEEncodeTiled", "VAEDecodeTiled") if tiled else ("VAEEncode", "VAEDecode")
    decoded = frames_of(
        comfy_server,
        {
            "loader": graph["loader"],
            "frames": node("LoadImage", image=frames),
            "encode": node(there, pixels=["frames", 0], vae=["loader", 3], **tiles),
            "decode": node(back, samples=["encode", 0], vae=["loader", 3], **tiles),
            "save": graph["save"],
        },
    )
    assert decoded.shape == true_frames().shape
    assert psnr(decoded, true_frames()) > 15
    assert is_at(SCENE, decoded[MIDDLE], MIDDLE / (FRAMES - 1))


def test_stock_vae_decode_draws_in_betweens(comfy_server: ComfyServer, graph: Prompt, plain: Tensor) -> None:
    """The keyframes' detail is missing: their frames are further from them than with Dual-Ref Decode, but nearer than
    to each other."""
    decode = node("VAEDecode", samples=["sampler", 0], vae=["loader", 3])
    frames = frames_of(comfy_server, {**graph, "decode": decode})
    first, last = (picture(SCENE, moment)[None] for moment in (0, 1))
    assert is_at(SCENE, frames[MIDDLE], MIDDLE / (FRAMES - 1))
    assert psnr(frames[:1], first) > psnr(frames[:1], last) + 1
    assert psnr(frames[-1:], last) > psnr(frames[-1:], first) + 1
    assert psnr(frames[:1], first) < psnr(plain[:1], first) - 2


def test_prompts_may_be_long_and_weighted(comfy_server: ComfyServer, graph: Prompt, plain: Tensor) -> None:
    long = "a round ball hops over a green meadow, " * 20
    weighted, unweighted = (
        frames_of(comfy_server, changed(graph, "positive", text=text)) for text in (f"({long}:1.4)", long)
    )
    for frames in (weighted, unweighted):
        assert_in_betweens(frames)
        assert not torch.equal(frames, plain)
    assert not torch.equal(weighted, unweighted)


def test_clip_vision_encode(comfy_server: ComfyServer, graph: Prompt, plain: Tensor) -> None:
    """Its output is for other models' conditioning, which this one passes by."""
    prompt = {
        **graph,
        "seen": node("CLIPVisionEncode", clip_vision=["loader", 2], image=["keyframes", 0], crop="center"),
        "told": node(
            "unCLIPConditioning",
            conditioning=["positive", 0],
            clip_vision_output=["seen", 0],
            strength=1.0,
            noise_augmentation=0.0,
        ),
    }
    assert torch.equal(frames_of(comfy_server, changed(prompt, "encode", positive=["told", 0])), plain)


def test_apply_controlnet_is_sketch_guide(comfy_server: ComfyServer, graph: Prompt, plain: Tensor) -> None:
    """With the lines white on black, and nothing in the frames without a sketch."""
    applied = {
        **sketched_graph(comfy_server),
        "lines": node("LoadImage", image=scene_sketch(comfy_server)),
        "white": node("ImageInvert", image=["lines", 0]),
        "before": one_colour(MIDDLE, BLACK),
        "after": one_colour(FRAMES - MIDDLE - 1, BLACK),
        "begun": node("ImageBatch", image1=["before", 0], image2=["white", 0]),
        "hints": node("ImageBatch", image1=["begun", 0], image2=["after", 0]),
    }
    guide = {"positive": ["encode", 0], "negative": ["encode", 1], "control_net": ["sketch_loader", 0]}

    def drawn(start: float, end: float) -> Tensor:
        during = {"strength": SKETCH_STRENGTH, "start_percent": start, "end_percent": end}
        return frames_of(
            comfy_server, {**applied, "guide": node("ControlNetApplyAdvanced", image=["hints", 0], **guide, **during)}
        )

    expected = frames_of(comfy_server, sketched_graph(comfy_server))
    assert (drawn(0.0, 1.0) - expected).abs().max() <= 1.5 / 255
    for_a_while = drawn(0.3, 0.6)
    for other in (expected, plain):
        assert (for_a_while - other).abs().mean() > 1e-4


def test_a_second_pass_at_twice_the_size(comfy_server: ComfyServer, graph: Prompt) -> None:
    """Upscale Latent, and a sampler that starts from it with part of the noise."""
    prompt = {
        **graph,
        "larger": node(
            "LatentUpscale",
            samples=["sampler", 0],
            upscale_method="bilinear",
            width=2 * WIDTH,
            height=2 * HEIGHT,
            crop="disabled",
        ),
        "encode_again": changed(graph, "encode", width=2 * WIDTH, height=2 * HEIGHT)["encode"],
    }
    wires = {"positive": ["encode_again", 0], "negative": ["encode_again", 1], "latent": ["larger", 0]}
    prompt["again"] = changed(graph, "sampler", **wires, steps=4, denoise=0.3)["sampler"]
    prompt = changed(prompt, "decode", latent=["again", 0], references=["encode_again", 3])
    frames = frames_of(comfy_server, prompt)
    assert frames.shape == (FRAMES, 3, 2 * HEIGHT, 2 * WIDTH)
    assert is_at(SCENE, torch.nn.functional.avg_pool2d(frames[MIDDLE], 2), MIDDLE / (FRAMES - 1))


def test_chosen_frames_are_kept(comfy_server: ComfyServer, graph: Prompt) -> None:
    """Set Latent Noise Mask with one mask for each frame: black keeps a frame, white draws it anew."""
    prompt = {
        **graph,
        "frames": node("LoadImage", image=upload(comfy_server, true_frames(), "scene_frames")),
        "given": node("VAEEncode", pixels=["frames", 0], vae=["loader", 3]),
        "kept": one_colour(MIDDLE, BLACK),
        "drawn": one_colour(FRAMES - MIDDLE, WHITE),
        "masks": node("ImageBatch", image1=["kept", 0], image2=["drawn", 0]),
        "mask": node("ImageToMask", image=["masks", 0], channel="red"),
        "masked": node("SetLatentNoiseMask", samples=["given", 0], mask=["mask", 0]),
    }
    prompt = changed(prompt, "sampler", latent=["masked", 0])
    given, found = latents_of(comfy_server, prompt, ("given", 0)), latents_of(comfy_server, prompt)
    assert torch.allclose(found[:MIDDLE], given[:MIDDLE], atol=1e-4)
    assert (found[MIDDLE:] - given[MIDDLE:]).abs().mean() > 1e-2
    assert_in_betweens(frames_of(comfy_server, prompt))


def test_latents_can_be_taken_repeated_and_put_together(
    comfy_server: ComfyServer, graph: Prompt, plain: Tensor
) -> None:
    """Single frames of the result; and the right half of one frame over all others."""
    prompt = {
        **graph,
        "one": node("LatentFromBatch", samples=["sampler", 0], batch_index=MIDDLE, length=1),
        "still": node("RepeatLatentBatch", samples=["one", 0], amount=FRAMES),
        "half": node("LatentCrop", samples=["still", 0], width=WIDTH // 2, height=HEIGHT, x=WIDTH // 2, y=0),
        "both": node(
            "LatentComposite", samples_to=["sampler", 0], samples_from=["half", 0], x=WIDTH // 2, y=0, feather=0
        ),
    }
    latents, still, both = (latents_of(comfy_server, prompt, (name, 0)) for name in ("sampler", "still", "both"))
    assert torch.equal(still, latents[MIDDLE : MIDDLE + 1].expand_as(latents))
    columns = latents.shape[-1] // 2
    assert torch.equal(both[..., :columns], latents[..., :columns])
    assert torch.equal(both[..., columns:], still[..., columns:])
    frames = frames_of(comfy_server, changed(prompt, "decode", latent=["both", 0]))
    within = frames[3:-3, ..., WIDTH // 2 :], plain[3:-3, ..., WIDTH // 2 :]
    composed, before = ((part - plain[MIDDLE, ..., WIDTH // 2 :]).square().mean() for part in within)
    assert composed < before / 2
