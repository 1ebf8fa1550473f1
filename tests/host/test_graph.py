"""The graph of this project, queued on a real server."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
import torch
from comfy_harness.prompts import interpolation, node, with_sketches
from comfy_harness.server import ComfyServer, PromptFailed
from results import frames_of

from tooncrafter_core.files.checkpoint import read_checkpoint

SMALL = {"width": 128, "height": 64}
QUICK = {"steps": 2, "guidance_scale": 1.0}


def wait_for_progress(server: ComfyServer, timeout: float = 60) -> None:
    """Return once the running prompt has sampled for a moment: its progress bar is in the log."""
    deadline = time.monotonic() + timeout
    seen = server.log_text().count("/1000 [")
    while server.log_text().count("/1000 [") < seen + 2:
        assert time.monotonic() < deadline, "sampling never began"
        time.sleep(0.1)


@pytest.fixture(scope="module")
def real(comfy_server: ComfyServer, real_keyframes: Path) -> list[str]:
    return [comfy_server.upload(real_keyframes / name) for name in ("room_first.png", "room_last.png")]


def test_real_keyframes_at_the_published_size(comfy_server: ComfyServer, real: list[str]) -> None:
    frames = frames_of(comfy_server, interpolation(real, sample={**QUICK, "steps": 1}, two_pass=False), timeout=900)
    assert frames.shape == (16, 3, 320, 512)
    assert frames.std() > 0.02
    assert (frames[0] - frames[8]).abs().mean() > 0.01


def test_real_sketches_change_the_frames(comfy_server: ComfyServer, real: list[str], real_keyframes: Path) -> None:
    folder = real_keyframes / "room_sparse_sketches"
    sketches = [comfy_server.upload(folder / f"{index:02}.png") for index in (5, 9)]
    plain = interpolation(real, encode=SMALL, sample=QUICK)
    frames = frames_of(comfy_server, plain)
    guided = frames_of(comfy_server, with_sketches(plain, sketches, "5, 9"))
    elsewhere = frames_of(comfy_server, with_sketches(plain, sketches, "3, 12"))
    assert guided.shape == frames.shape == (16, 3, 64, 128)
    assert (guided - frames).abs().mean() > 1e-3
    assert (guided - elsewhere).abs().mean() > 1e-3


def test_three_keyframes_share_the_middle_one(comfy_server: ComfyServer, drawn: dict[str, str]) -> None:
    names = [drawn["first"], drawn["last"], drawn["first"]]
    frames = frames_of(comfy_server, interpolation(names, encode={**SMALL, "frames": 6}, sample=QUICK))
    assert frames.shape == (11, 3, 64, 128)


def test_size_that_is_no_multiple_of_64(comfy_server: ComfyServer, drawn: dict[str, str]) -> None:
    prompt = interpolation(
        [drawn["first"], drawn["last"]], encode={"width": 136, "height": 72, "fit": "pad"}, sample=QUICK
    )
    assert frames_of(comfy_server, prompt).shape == (16, 3, 72, 136)


def test_latents_of_sixteen_channels(comfy_server: ComfyServer, drawn: dict[str, str]) -> None:
    """In the graph with previews, and through the stock VAE nodes, which ask how many channels there are."""
    prompt = interpolation(
        [drawn["first"], drawn["last"]], "sixteen.safetensors", encode={**SMALL, "frames": 4}, sample=QUICK
    )
    frames = frames_of(comfy_server, prompt)
    assert frames.shape == (4, 3, 64, 128) and frames.std() > 0.02
    tiles = {"vae": ["loader", 3], "tile_size": 64, "overlap": 0, "temporal_size": 64, "temporal_overlap": 8}
    there = node("VAEEncodeTiled", pixels=["decode", 0], **tiles)
    back = node("VAEDecodeTiled", samples=["there", 0], **tiles)
    through = {
        **prompt,
        "there": there,
        "back": back,
        "save": node("SaveImage", images=["back", 0], filename_prefix="f"),
    }
    assert frames_of(comfy_server, through).shape == (4, 3, 64, 128)


def test_seed_decides_the_frames(comfy_server: ComfyServer, drawn: dict[str, str]) -> None:
    names = [drawn["first"], drawn["last"]]
    one, again, other = (
        frames_of(
            comfy_server,
            interpolation(names, encode={**SMALL, "fps": fps}, sample={**QUICK, "seed": seed}, two_pass=two_pass),
        )
        for seed, fps, two_pass in ((3, 10, True), (3, 10, False), (4, 10, True))
    )
    assert torch.equal(one[0], again[0])
    assert not torch.equal(one[0], other[0])


def test_partial_denoising_stays_near_its_start(comfy_server: ComfyServer, drawn: dict[str, str]) -> None:
    prompt = interpolation([drawn["first"], drawn["last"]], encode=SMALL, sample={"steps": 4})
    start = frames_of(comfy_server, prompt)
    changes = []
    for denoise in (0.2, 0.9):
        again = {**prompt, "again": {**prompt["sampler"], "inputs": dict(prompt["sampler"]["inputs"])}}
        again["again"]["inputs"].update(latent=["sampler", 0], denoise=denoise, seed=1)
        again["decode"] = {**prompt["decode"], "inputs": {**prompt["decode"]["inputs"], "latent": ["again", 0]}}
        changes.append((frames_of(comfy_server, again) - start).abs().mean())
    assert 0 < changes[0] < changes[1]


def test_noise_mask_keeps_what_it_covers(comfy_server: ComfyServer, drawn: dict[str, str]) -> None:
    """Where the mask is 0, latents come out of the Sampler as they went in."""
    prompt = interpolation([drawn["first"], drawn["last"]], encode=SMALL, sample=QUICK)
    mask = node("SolidMask", value=0.0, width=128, height=64)
    masked = node("SetLatentNoiseMask", samples=["sampler", 0], mask=["mask", 0])
    again = node("ToonCrafterSampler", **{**prompt["sampler"]["inputs"], "latent": ["masked", 0], "seed": 5})
    decode = node("ToonCrafterDualRefDecode", **{**prompt["decode"]["inputs"], "latent": ["again", 0]})
    kept = frames_of(comfy_server, {**prompt, "mask": mask, "masked": masked, "again": again, "decode": decode})
    assert (kept - frames_of(comfy_server, prompt)).abs().max() <= 1.5 / 255


def test_save_checkpoint_writes_what_the_loader_reads(
    comfy_server: ComfyServer, checkpoints: tuple[Path, Path]
) -> None:
    loader = node("ToonCrafterLoader", checkpoint="model.ckpt", weight_dtype="default")
    wires = {"model": ["loader", 0], "clip": ["loader", 1], "vae": ["loader", 3]}
    comfy_server.run({"loader": loader, "save": node("CheckpointSave", **wires, filename_prefix="saved")})
    saved = read_checkpoint(comfy_server.base / "output" / "saved_00001_.safetensors")
    original = read_checkpoint(checkpoints[0])
    assert saved.missing_parts == ["vision"]
    for part in ("unet", "autoencoder", "projector"):
        found, expected = saved.part(part), original.part(part)
        assert found.keys() == expected.keys()
        assert all(torch.equal(found[name].float(), expected[name].float()) for name in expected)


def test_interruption_leaves_a_working_server(comfy_server: ComfyServer, drawn: dict[str, str]) -> None:
    names = [drawn["first"], drawn["last"]]
    endless = comfy_server.queue(interpolation(names, encode=SMALL, sample={"steps": 1000}))
    wait_for_progress(comfy_server)
    comfy_server.interrupt()
    with pytest.raises(PromptFailed) as failure:
        comfy_server.wait(endless, timeout=30)
    assert failure.value.interrupted
    assert failure.value.node_id == "sampler"
    frames = frames_of(comfy_server, interpolation(names, encode=SMALL, sample={**QUICK, "seed": 11}))
    assert frames.shape == (16, 3, 64, 128)


def test_stock_nodes_accept_our_wires(comfy_server: ComfyServer, drawn: dict[str, str]) -> None:
    """KSampler on MODEL, VAE Decode on VAE, Apply ControlNet on CONTROL_NET."""
    prompt = with_sketches(interpolation([drawn["first"], drawn["last"]], encode=SMALL), [drawn["sketch_07"]], "7")
    guide = prompt["guide"]["inputs"]
    prompt["guide"] = {
        "class_type": "ControlNetApplyAdvanced",
        "inputs": {
            "positive": guide["positive"],
            "negative": guide["negative"],
            "control_net": guide["control_net"],
            "image": guide["sketches"],
            "strength": 0.6,
            "start_percent": 0.0,
            "end_percent": 1.0,
        },
    }
    prompt["sampler"] = {
        "class_type": "KSampler",
        "inputs": {
            "model": ["loader", 0],
            "positive": ["guide", 0],
            "negative": ["guide", 1],
            "latent_image": ["encode", 2],
            "seed": 0,
            "steps": 3,
            "cfg": 2.0,
            "sampler_name": "euler",
            "scheduler": "sgm_uniform",
            "denoise": 1.0,
        },
    }
    prompt["decode"] = {"class_type": "VAEDecode", "inputs": {"samples": ["sampler", 0], "vae": ["loader", 3]}}
    frames = frames_of(comfy_server, prompt)
    assert frames.shape == (16, 3, 64, 128)
    assert 0.02 < frames.std() < 0.5
