"""Any length, any size, many keyframes, on a real server."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from comfy_harness.prompts import Prompt, changed, interpolation, node, with_sketches
from comfy_harness.server import ComfyServer, PromptFailed
from PIL import Image
from results import frames_of, latents_of

from tooncrafter_core import Settings, ToonCrafter, interpolate
from tooncrafter_core.files.media import read_image

SMALL = {"width": 64, "height": 64}
QUICK = {"steps": 1, "guidance_scale": 1.0}


def graph(drawn: dict[str, str], *keyframes: str, **encode: object) -> Prompt:
    return interpolation([drawn[name] for name in keyframes], encode={**SMALL, **encode}, sample=QUICK, two_pass=False)


@pytest.mark.parametrize("frames", [2, 3, 5, 15, 17, 31, 64])
def test_frames_of_a_segment(comfy_server: ComfyServer, drawn: dict[str, str], frames: int) -> None:
    out = frames_of(comfy_server, graph(drawn, "first", "last", frames=frames))
    assert out.shape == (frames, 3, 64, 64)
    assert (out.flatten(1).std(dim=1) > 0.02).all(), "a frame of one colour"


def test_many_keyframes_and_their_loop(comfy_server: ComfyServer, drawn: dict[str, str]) -> None:
    names = ["first", "last", "first", "last", "first"]
    assert len(frames_of(comfy_server, graph(drawn, *names, frames=3))) == 9
    assert len(frames_of(comfy_server, graph(drawn, *names, frames=3, loop=True))) == 10
    assert len(frames_of(comfy_server, graph(drawn, "first", frames=3, loop=True))) == 2


def test_a_count_for_each_segment(comfy_server: ComfyServer, drawn: dict[str, str]) -> None:
    """Nodes for finished frames know the same text; a whole number over a wire is a count as well."""
    prompt = graph(drawn, "first", "last", "first", frames="3, 20")
    trim = node("ToonCrafterTrimKeyframes", frames=["decode", 0], frames_per_segment="3, 20", drop=0)
    prompt = changed({**prompt, "trim": trim}, "save", images=["trim", 0])
    out = frames_of(comfy_server, prompt)
    assert out.shape == (22, 3, 64, 64) and (out.flatten(1).std(dim=1) > 0.02).all()
    wired = changed(graph(drawn, "first", "last", frames=16), "encode", frames=["four", 0])
    assert len(frames_of(comfy_server, {**wired, "four": node("PrimitiveInt", value=4)})) == 4


@pytest.mark.parametrize(
    ("frames", "words"),
    [
        ("16, 24, 12", ["frames has 3 numbers", "make 2 segment(s)", "one number for all of them, or 2"]),
        ("16; 24", ["'16; 24'", "such as 16, 24, 12"]),
        ("16, 227", ["16, 227", "226 or fewer"]),
        (1, ["frames is 1", "expected 2"]),
    ],
)
def test_counts_that_do_not_fit(
    comfy_server: ComfyServer, drawn: dict[str, str], frames: object, words: list[str]
) -> None:
    with pytest.raises(PromptFailed) as failure:
        comfy_server.run(graph(drawn, "first", "last", "first", frames=frames))
    assert failure.value.node_id == "encode"
    assert all(word in str(failure.value) for word in words), failure.value


@pytest.mark.parametrize("frames", ["3, 5, 3", "3, 17, 3"], ids=["together", "one by one"])
def test_one_segment_is_drawn_again(comfy_server: ComfyServer, drawn: dict[str, str], frames: str) -> None:
    """The second one comes out as in a whole run with the same seed, with guidance and a sketch in it; the others stay
    as they were."""
    prompt = graph(drawn, "first", "last", "first", "last", frames=frames)
    prompt = with_sketches(prompt, [drawn["sketch_07"]], "4", strength=1.0)
    prompt = changed(prompt, "sampler", guidance_scale=3.0, steps=2)
    redone = {**prompt["sampler"]["inputs"], "seed": 1, "segments": "2", "previous": ["sampler", 0]}
    again = {**prompt, "again": node("ToonCrafterSampler", **redone)}
    again = changed(changed(again, "decode", latent=["again", 0]), "save", images=["decode", 0])
    before, after, found = (
        latents_of(comfy_server, each, (sampler, 0))
        for each, sampler in ((prompt, "sampler"), (changed(prompt, "sampler", seed=1), "sampler"), (again, "again"))
    )
    rows = slice(3, len(before) - 3)
    assert torch.equal(found[rows], after[rows]) and not torch.equal(found[rows], before[rows])
    assert torch.equal(found[:3], before[:3]) and torch.equal(found[-3:], before[-3:])


@pytest.mark.parametrize(
    ("inputs", "words"),
    [
        ({"segments": "2"}, ["previous is not connected"]),
        ({"segments": "3", "previous": ["encode", 2]}, ["segments names 3", "1 to 2"]),
        ({"segments": "two", "previous": ["encode", 2]}, ["'two'", "such as 2 or 1, 3"]),
        ({"segments": "1", "previous": ["other", 2]}, ["previous holds 8 latents", "positive goes with 6 latents"]),
    ],
    ids=["no previous", "not there", "no number", "another film"],
)
def test_segments_that_cannot_be_drawn_again(
    comfy_server: ComfyServer, drawn: dict[str, str], inputs: dict[str, object], words: list[str]
) -> None:
    prompt = changed(graph(drawn, "first", "last", "first", frames=3), "sampler", **inputs)
    other = changed(prompt, "encode", frames=4)["encode"]
    with pytest.raises(PromptFailed) as failure:
        comfy_server.run({**prompt, "other": other})
    assert failure.value.node_id == "sampler"
    assert all(word in str(failure.value) for word in words), failure.value


def test_long_segments_with_sketches(comfy_server: ComfyServer, drawn: dict[str, str]) -> None:
    """Two segments of 20 frames, a sketch in one or another fine run of the second."""
    plain = graph(drawn, "first", "last", "first", frames=20)
    results = [
        frames_of(comfy_server, with_sketches(plain, [drawn["sketch_07"]], index, strength=1.0))
        for index in ("22", "36")
    ]
    assert results[0].shape == (39, 3, 64, 64)
    changed = (results[0] - results[1]).abs().flatten(1).mean(dim=1)
    assert changed[20:].min() > 1e-4, "a sketch does not reach both fine runs of its segment, through the coarse one"
    assert changed[:19].max() == 0, "a sketch reaches the other segment"


def test_masked_frames_of_a_long_segment_stay(comfy_server: ComfyServer, drawn: dict[str, str]) -> None:
    """Drawn for the first ten frames; the last ten keep their latents, which are zero."""
    masks = {
        "draw": node("EmptyImage", width=64, height=64, batch_size=10, color=0xFFFFFF),
        "keep": node("EmptyImage", width=64, height=64, batch_size=10, color=0),
        "both": node("ImageBatch", image1=["draw", 0], image2=["keep", 0]),
        "mask": node("ImageToMask", image=["both", 0], channel="red"),
        "masked": node("SetLatentNoiseMask", samples=["encode", 2], mask=["mask", 0]),
    }
    prompt = changed(graph(drawn, "first", "last", frames=20), "sampler", latent=["masked", 0])
    latents = latents_of(comfy_server, {**prompt, **masks})
    assert latents[10:].abs().max() < 1e-6
    assert latents[:10].flatten(1).std(dim=1).min() > 0.1


def test_the_result_has_the_size_asked_for(comfy_server: ComfyServer, drawn: dict[str, str]) -> None:
    """Stock VAE Decode does not know it, and gives what the models worked at."""
    prompt = graph(drawn, "first", "last", frames=3, width=100, height=75, fit="pad")
    assert frames_of(comfy_server, prompt).shape == (3, 3, 75, 100)
    stock = node("VAEDecode", samples=["sampler", 0], vae=["loader", 3])
    assert frames_of(comfy_server, {**prompt, "decode": stock}).shape == (3, 3, 80, 104)


def test_transparent_keyframes_come_on_white(comfy_server: ComfyServer, drawn: dict[str, str]) -> None:
    prompt = graph(drawn, "first", "last", frames=3)
    clear = {
        "black": node("EmptyImage", width=96, height=64, batch_size=1, color=0),
        "mask": node("SolidMask", value=1.0, width=96, height=64),
        "clear": node("JoinImageWithAlpha", image=["black", 0], alpha=["mask", 0]),
        "keyframes": node("ImageBatch", image1=["clear", 0], image2=["clear", 0]),
    }
    white = {"keyframes": node("EmptyImage", width=96, height=64, batch_size=2, color=0xFFFFFF)}
    assert torch.equal(frames_of(comfy_server, {**prompt, **clear}), frames_of(comfy_server, {**prompt, **white}))


def test_a_list_of_keyframes_of_different_sizes(
    comfy_server: ComfyServer, checkpoints: tuple[Path, Path], drawn: dict[str, str]
) -> None:
    """One run with both, each fitted by itself. The stock node that makes the list does not sort the files."""
    folder = comfy_server.base / "input" / "of_two_sizes"
    folder.mkdir()
    pictures = [comfy_server.base / "input" / drawn[name] for name in ("first", "last")]
    sizes = (160, 90), (70, 100)
    for index, (path, size) in enumerate(zip(pictures, sizes, strict=True)):
        with Image.open(path) as picture:
            picture.convert("RGB").resize(size).save(folder / f"{index}.png")
    prompt = graph(drawn, "first", frames=3)
    out = frames_of(comfy_server, {**prompt, "keyframes": node("LoadImageDataSetFromFolder", folder=folder.name)})
    model = ToonCrafter.load(*checkpoints, dtype=torch.float32)
    keyframes = [read_image(folder / f"{index}.png") for index in range(2)]
    settings = Settings(width=64, height=64, steps=1, guidance_scale=1, frames=3, two_pass=False)
    expected = [interpolate(model, order, settings) for order in (keyframes, keyframes[::-1])]
    assert min((out - frames).abs().max() for frames in expected) <= 1.5 / 255
