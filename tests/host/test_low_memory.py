"""Little memory and half precision on a real server: the same frames or an error, never black ones."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from comfy_harness.prompts import Prompt, changed, interpolation, node, with_sketches
from comfy_harness.server import ComfyServer, PromptFailed
from random_checkpoint import MODEL, SKETCH, random_tensors
from results import frames_of, progress_of

from tooncrafter_core.memory import unet_bytes

DRAWN = Path(__file__).resolve().parents[2] / "assets" / "keyframes"
SIZES = {"width": 64, "height": 64, "frames": 6}
QUICK = {"steps": 2}
MEBIBYTES = {"whole": 1000, "frame by frame": 10, "frame by frame, with the video on the CPU": 6}
"""How much is free on the device for each way of decoding; 18.6, 7.5 and 3.3 are asked for."""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ComfyServer]:
    """A ComfyUI with a good model, one whose decoder overflows in float16, and a broken one."""
    base = tmp_path_factory.mktemp("low_memory")
    tensors = random_tensors(MODEL)
    first, last = "first_stage_model.decoder.conv_in.", "model.diffusion_model.out.2.bias"
    models = {
        "good": tensors,
        "overflows": tensors | {first + name: tensors[first + name] * 2.0**17 for name in ("weight", "bias")},
        "broken": tensors | {last: torch.full_like(tensors[last], torch.nan)},
    }
    files = {f"checkpoints/{name}.ckpt": base / f"{name}.ckpt" for name in models}
    for file, weights in zip(files.values(), models.values(), strict=True):
        torch.save({"state_dict": weights}, file)
    files["controlnet/good_sketch.ckpt"] = base / "sketch.ckpt"
    torch.save(random_tensors(SKETCH, seed=1), base / "sketch.ckpt")
    with ComfyServer(base / "comfy", models=files, nodes=[Path(__file__).with_name("memory_nodes.py")]) as running:
        yield running


@pytest.fixture(scope="module")
def drawings(server: ComfyServer) -> list[str]:
    return [server.upload(DRAWN / name) for name in ("first.png", "last.png")]


def with_memory(prompt: Prompt, mebibytes: int, decode: dict[str, Any]) -> Prompt:
    """So much is free while `decode` decodes."""
    inputs = {name: ["memory", 0] if wire == ["sampler", 0] else wire for name, wire in decode["inputs"].items()}
    memory = node("TestFreeMemory", latent=["sampler", 0], mebibytes=mebibytes)
    return {**prompt, "memory": memory, "decode": {**decode, "inputs": inputs}}


@pytest.mark.parametrize("stock", [False, True], ids=["Dual-Ref Decode", "VAE Decode"])
def test_frames_do_not_depend_on_memory(server: ComfyServer, drawings: list[str], stock: bool) -> None:
    prompt = interpolation(drawings, "good.ckpt", encode=SIZES, sample=QUICK)
    decode = node("VAEDecode", vae=["loader", 3], samples=["sampler", 0]) if stock else prompt["decode"]
    whole, *chunked = (frames_of(server, with_memory(prompt, mebibytes, decode)) for mebibytes in MEBIBYTES.values())
    assert whole.shape == (6, 3, 64, 64) and whole.std() > 0.02
    for frames in chunked:
        assert (frames - whole).abs().max() <= 1.5 / 255
    for way in list(MEBIBYTES)[:-1]:
        assert f"No memory to decode 6 frames of 64 x 64 in torch.float32 {way} take about" in server.log_text()


@pytest.mark.parametrize("way", MEBIBYTES)
def test_progress_counts_frames(server: ComfyServer, drawings: list[str], way: str) -> None:
    """Of two segments, whichever way they are decoded."""
    graph = interpolation([*drawings, drawings[0]], "good.ckpt", encode={**SIZES, "frames": "6, 4"}, sample=QUICK)
    prompt = with_memory(graph, MEBIBYTES[way], graph["decode"])
    assert progress_of(server, prompt, "decode") == [(frame, 10) for frame in range(1, 11)]


def test_no_unconditional_pass_runs_outside_the_guided_interval(server: ComfyServer, drawings: list[str]) -> None:
    """Of 5 steps, at shares 0 to 0.8 of the walk, the second and third are guided; each pass has 2 frames."""
    sample = {"steps": 5, "guidance_from": 0.1, "guidance_to": 0.5}
    prompt = interpolation(drawings, "good.ckpt", encode={**SIZES, "frames": 2}, sample=sample)
    told = {**prompt, "told": node("TestTellRows", model=["loader", 0])}
    frames_of(server, changed(told, "sampler", model=["told", 0]))
    rows = [int(count) for count in re.findall(r"U-Net rows: (\d+)", server.log_text())]
    assert sum(rows) == 2 * (1 + 2 + 2 + 1 + 1)


def test_overflow_in_half_precision_is_decoded_in_float32(server: ComfyServer, drawings: list[str]) -> None:
    prompt = interpolation(drawings, "overflows.ckpt", encode={**SIZES, "frames": 2}, sample=QUICK)
    expected = frames_of(server, prompt)
    half = {**prompt["decode"], "inputs": {**prompt["decode"]["inputs"], "vae": ["half", 0]}}
    frames = frames_of(server, {**prompt, "half": node("TestHalfVAE", vae=["loader", 3]), "decode": half})
    assert "Decoding in torch.float32 instead" in server.log_text()
    assert frames.std() > 0.02
    assert (frames - expected).abs().max() <= 2.5 / 255  # latents and references came in float16


def test_a_step_that_is_not_finite_is_an_error(server: ComfyServer, drawings: list[str]) -> None:
    with pytest.raises(PromptFailed, match=r"Step 1 of 2 .* gave NaN .* --fp32-unet") as failure:
        server.run(interpolation(drawings, "broken.ckpt", encode=SIZES, sample=QUICK))
    assert failure.value.node_id == "sampler"


@pytest.mark.parametrize("stock", [False, True], ids=["Dual-Ref Decode", "VAE Decode"])
def test_latents_that_are_not_finite_are_an_error(server: ComfyServer, drawings: list[str], stock: bool) -> None:
    """From a stock sampler, which does not look."""
    prompt = interpolation(drawings, "broken.ckpt", encode=SIZES)
    wires = {
        "model": ["loader", 0],
        "positive": ["encode", 0],
        "negative": ["encode", 1],
        "latent_image": ["encode", 2],
    }
    settings = {"seed": 0, "steps": 1, "cfg": 1.0, "sampler_name": "euler", "scheduler": "normal", "denoise": 1.0}
    prompt["sampler"] = node("KSampler", **wires, **settings)
    if stock:
        prompt["decode"] = node("VAEDecode", vae=["loader", 3], samples=["sampler", 0])
    with pytest.raises(PromptFailed, match=r"latents of 6 of 6 frames hold NaN .* --fp32-unet") as failure:
        server.run(prompt)
    assert failure.value.node_id == "decode"


def test_the_host_knows_what_sampling_needs(server: ComfyServer, drawings: list[str]) -> None:
    """Segments run one after the other: two need what one does."""
    prompt = interpolation([*drawings, drawings[0]], "good.ckpt", encode=SIZES)
    inputs = {"model": ["loader", 0], "positive": ["encode", 0], "latent": ["encode", 2]}
    asking = {name: prompt[name] for name in prompt if name not in ("sampler", "decode", "save")}
    history = server.run({**asking, "required": node("TestMemoryRequired", **inputs)})
    expected = [unet_bytes(MODEL.unet, 6, 8, 8, torch.float32, rows=rows) for rows in (2, 1)]
    assert history["outputs"]["required"]["bytes"] == expected


def held(server: ComfyServer, prompt: Prompt | None = None) -> int:
    """Bytes of all tensors in the server once `prompt` is done; ComfyUI forgets results that the next does not use."""
    history = server.run({**(prompt or {}), "held": node("TestHeld")})
    return int(history["outputs"]["held"]["bytes"][0])


def test_unloading_gives_the_memory_back(server: ComfyServer, drawings: list[str]) -> None:
    """`/free`, which the page's button calls: models, references and cached results go."""
    server.free()
    before = held(server)
    prompt = interpolation(drawings, "good.ckpt", encode=SIZES, sample=QUICK)
    server.run(prompt)
    weights = sum(tensor.nbytes for tensor in random_tensors(MODEL).values())
    assert held(server, prompt) > before + weights / 2
    server.free()
    assert held(server) < before + weights / 50


def test_weights_may_wait_elsewhere(server: ComfyServer, drawings: list[str]) -> None:
    """The last test of this server: it keeps weights off the device from here on."""
    prompt = with_sketches(
        interpolation(drawings, "good.ckpt", encode=SIZES, sample=QUICK), drawings[:1], "3", "good_sketch.ckpt"
    )
    expected = frames_of(server, prompt)
    sampler = {**prompt["sampler"], "inputs": {**prompt["sampler"]["inputs"], "model": ["offloaded", 0]}}
    offloaded = {**prompt, "offloaded": node("TestNoVRAM", model=["loader", 0]), "sampler": sampler}
    before = server.log_text().count("loaded partially")
    frames = frames_of(server, offloaded)
    assert server.log_text().count("loaded partially") > before
    assert (frames - expected).abs().max() <= 1.5 / 255
