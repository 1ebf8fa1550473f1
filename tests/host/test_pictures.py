"""Pictures from a folder, sketches from frames, and both as lists of any sizes, on a real server."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from bundled import FRAMES, MIDDLE, scene_graph, sketched_graph, true_frames, upload
from comfy_harness.prompts import Prompt, changed, interpolation, node
from comfy_harness.server import ComfyServer, PromptFailed
from PIL import Image
from results import frames_of, latents_of
from torch import Tensor

from tooncrafter_core.__main__ import main
from tooncrafter_core.files.media import read_image
from tooncrafter_core.sketches.lines import extract_lines

STEP = 1 / 255
"""Pictures are saved in 8 bits, rounded down."""
STEPS = 4
"""Of sampling: nothing is looked at but what changes."""


def folder_of(server: ComfyServer, name: str, pictures: dict[str, Image.Image]) -> Path:
    """A folder in ComfyUI's input folder."""
    folder = server.base / "input" / name
    folder.mkdir()
    for file, picture in pictures.items():
        picture.save(folder / file)
    return folder


def loaded(server: ComfyServer, pictures: str, background: str = "#ffffff") -> list[Tensor]:
    """What Load Pictures gives, each (1, 3, H, W)."""
    load = node("ToonCrafterLoadPictures", pictures=pictures, background=background)
    prompt = {"load": load, "save": node("SaveImage", images=["load", 0], filename_prefix="loaded")}
    return [read_image(path)[None] for path in server.outputs(server.run(prompt))]


def test_a_folder_comes_as_it_is_numbered(comfy_server: ComfyServer) -> None:
    """Each at its own size, transparent ones on the colour; with another file the node runs again."""
    sizes = {"2.png": (20, 10), "10.png": (10, 30), "1.png": (8, 8)}
    folder = folder_of(comfy_server, "numbered", {name: Image.new("RGBA", size) for name, size in sizes.items()})
    (folder / "notes.txt").write_text("not a picture")
    found = loaded(comfy_server, "numbered", background="#00ff00")
    assert [tuple(picture.shape[-2:]) for picture in found] == [(8, 8), (10, 20), (30, 10)]
    assert all(torch.equal(picture[0, :, 0, 0], torch.tensor([0.0, 1.0, 0.0])) for picture in found)
    Image.new("RGB", (7, 7)).save(folder / "3.png")
    again = loaded(comfy_server, str(folder), background="#00ff00")
    assert [picture.shape[-1] for picture in again] == [8, 20, 7, 10]
    (folder / "10.png").unlink()
    assert [picture.shape[-1] for picture in loaded(comfy_server, "numbered", background="#00ff00")] == [8, 20, 7]


def test_pictures_that_cannot_be_loaded(comfy_server: ComfyServer) -> None:
    broken = folder_of(comfy_server, "broken", {"1.png": Image.new("RGB", (8, 8))})
    (broken / "2.png").write_bytes((broken / "1.png").read_bytes()[:40])
    folder_of(comfy_server, "empty", {})
    for pictures, message in [
        ("broken", r"2\.png is not a picture"),
        ("empty", "empty has no pictures"),
        ("nowhere", "no picture or folder 'nowhere'"),
        ("", "no pictures are named"),
    ]:
        with pytest.raises(PromptFailed, match=message):
            loaded(comfy_server, pictures)
    with pytest.raises(PromptFailed, match="cannot read the colour 'white'"):
        loaded(comfy_server, "broken", background="white")


@pytest.fixture(scope="module")
def graph(comfy_server: ComfyServer) -> Prompt:
    """With a sketch for the middle frame, and no decoding."""
    made = changed(sketched_graph(comfy_server), "sampler", steps=STEPS)
    return {name: given for name, given in made.items() if name not in ("decode", "save")}


@pytest.fixture(scope="module")
def plain(comfy_server: ComfyServer) -> Tensor:
    """Without Sketch Guide."""
    return latents_of(comfy_server, changed(scene_graph(comfy_server), "sampler", steps=STEPS))


@pytest.fixture(scope="module")
def guided(comfy_server: ComfyServer, graph: Prompt) -> Tensor:
    return latents_of(comfy_server, graph)


def hints_of(server: ComfyServer, graph: Prompt) -> Tensor:
    """What Sketch Guide shows of what the encoder sees."""
    needed = {name: given for name, given in graph.items() if name != "sampler"}
    return frames_of(server, {**needed, "save": node("SaveImage", images=["guide", 2], filename_prefix="hints")})


def test_the_hints_are_what_the_encoder_sees(comfy_server: ComfyServer, graph: Prompt) -> None:
    """Black but for the sketch's lines in the middle frame; without sketches black everywhere, at any strength."""
    hints = hints_of(comfy_server, graph)
    assert hints.shape == true_frames().shape
    assert [bool(hint.any()) for hint in hints] == [frame == MIDDLE for frame in range(FRAMES)]
    assert 0.001 < (hints[MIDDLE] > 0.5).float().mean() < 0.3
    told = hints_of(comfy_server, changed(graph, "guide", polarity="dark on light", frame_indices="bisect:1"))
    assert torch.equal(told, hints)
    assert hints_of(comfy_server, changed(graph, "guide", polarity="light on dark"))[MIDDLE].mean() > 0.5
    assert not hints_of(comfy_server, changed(graph, "guide", strength=0.0)).any()


def test_without_sketches_nothing_changes(comfy_server: ComfyServer, graph: Prompt, plain: Tensor) -> None:
    inputs = {name: wire for name, wire in graph["guide"]["inputs"].items() if name != "sketches"}
    unguided = {**graph, "guide": node("ToonCrafterSketchGuide", **inputs)}
    assert torch.equal(latents_of(comfy_server, unguided), plain)


def test_strengths_of_sketches(comfy_server: ComfyServer, graph: Prompt, guided: Tensor) -> None:
    """A list of the one strength is that strength, bit by bit; another one moves the sketched frame and those beside it
    most."""
    strength = graph["guide"]["inputs"]["strength"]
    same = latents_of(comfy_server, changed(graph, "guide", strengths=str(strength), start_percent=0.0))
    assert torch.equal(same, guided)
    less = latents_of(comfy_server, changed(graph, "guide", strengths="0"))
    moved = (less - guided).flatten(1).norm(dim=1)
    assert abs(int(moved.argmax()) - MIDDLE) <= 1 and moved[MIDDLE] > max(3 * moved[0], 0.95 * moved.max())


def test_sketches_guide_a_part_of_the_sampling(
    comfy_server: ComfyServer, graph: Prompt, guided: Tensor, plain: Tensor
) -> None:
    half = latents_of(comfy_server, changed(graph, "guide", end_percent=0.5))
    assert not torch.equal(half, guided) and not torch.equal(half, plain)


def extraction(server: ComfyServer, **widgets: Any) -> Prompt:
    clip = upload(server, true_frames(), "clip_for_sketches")
    given = {"pick": "bisect:2", "frames_per_segment": 0, "extractor": "built-in", **widgets}
    return {
        "clip": node("LoadImage", image=clip),
        "extract": node("ToonCrafterExtractSketch", frames=["clip", 0], **given),
    }


def test_extracted_sketches_go_to_the_guide(comfy_server: ComfyServer, graph: Prompt) -> None:
    """Frames and their indices, over two wires, come out at the frames they are of."""
    made = {**graph, **extraction(comfy_server)}
    found = hints_of(comfy_server, changed(made, "guide", sketches=["extract", 0], frame_indices=["extract", 1]))
    lines = extract_lines((true_frames() * 255).round() / 255).expand(-1, 3, -1, -1)
    for frame in range(FRAMES):
        expected = lines[frame] if frame in (3, 7, 11) else torch.zeros_like(lines[frame])
        assert ((found[frame] - expected).abs() > 1.01 * STEP).float().mean() < 0.002


def test_sketches_are_a_list_of_any_sizes(comfy_server: ComfyServer, graph: Prompt) -> None:
    page = Image.new("L", (128, 64), 255)
    page.paste(0, (60, 0, 64, 64))
    folder_of(comfy_server, "sizes", {"2.png": page.resize((256, 128)), "10.png": page})
    load = node("ToonCrafterLoadPictures", pictures="sizes", background="#ffffff")
    made = changed({**graph, "list": load}, "guide", sketches=["list", 0], frame_indices="3, 50%", strengths="2, 0.5")
    hints = hints_of(comfy_server, made)
    assert [frame for frame in range(FRAMES) if hints[frame].any()] == [3, 7]
    assert (hints[3] - hints[7]).abs().mean() < 0.03
    assert hints[7, 0, 0, 60:64].min() == 1 and hints[7].mean() == pytest.approx(4 / 128, abs=1e-3)


def test_what_the_nodes_refuse(comfy_server: ComfyServer, graph: Prompt) -> None:
    for wrong, message in [
        ({"strengths": "0.5, 0.5"}, "1 sketch.* but 2 strengths"),
        ({"strengths": "3"}, "expected a number from 0 to 2"),
        ({"start_percent": 0.5, "end_percent": 0.5}, "expected a start before the end"),
        ({"frame_indices": "bisect:2"}, "1 sketch.* but 3 frame indices"),
    ]:
        with pytest.raises(PromptFailed, match=message):
            latents_of(comfy_server, changed(graph, "guide", **wrong))
    for wrong, message in [
        ({"pick": ""}, "pick is empty"),
        ({"pick": "every:0"}, "step of 0"),
        ({"frames_per_segment": 10}, "16 frames are not made of segments of 10"),
    ]:
        prompt = {**extraction(comfy_server, **wrong)}
        prompt["save"] = node("SaveImage", images=["extract", 0], filename_prefix="sketches")
        with pytest.raises(PromptFailed, match=message):
            comfy_server.run(prompt)


def test_a_list_of_shots_on_a_server(
    comfy_server: ComfyServer, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Each shot is a prompt; drawn ones are not sent again, and what the server says of another is told."""
    for name, colour in (("a", "white"), ("b", "grey"), ("line", "black")):
        Image.new("RGB", (24, 16), colour).save(tmp_path / f"{name}.png")
    shot = {"keyframes": ["a.png", "b.png"], "width": 64, "height": 64, "frames": 3, "steps": 1}
    shots = [
        {**shot, "name": "plain", "retiming": {"length": 5}},
        {**shot, "name": "sketched", "sketches": {"1@0.5": "line.png"}},
        {**shot, "name": "broken", "keyframes": ["a.png", "notes.png"]},
    ]
    (tmp_path / "notes.png").write_text("not a picture")
    (tmp_path / "shots.jsonl").write_text("\n".join(map(json.dumps, shots)))
    models = ["-c", "model.ckpt", "--sketch-encoder", "sketch_encoder.ckpt"]
    out = tmp_path / "out"
    command = ["batch", str(tmp_path / "shots.jsonl"), "--out", str(out), *models, "--comfyui", comfy_server.url]
    assert main(command) == 2
    assert "notes.png is not a picture" in capsys.readouterr().err
    (tmp_path / "shots.jsonl").write_text("\n".join(map(json.dumps, shots[:2])))
    assert main(command) == 0
    assert "2 shots: 2 drawn, 0 kept, 0 failed. 8 frames" in capsys.readouterr().out
    assert read_image(out / "shots" / "plain" / "0004.png").shape == (3, 64, 64)
    assert len(list((out / "shots" / "sketched").iterdir())) == 3
    assert main(command) == 0
    assert "0 drawn, 2 kept, 0 failed" in capsys.readouterr().out
    assert main([*command, "-c", "no.ckpt"]) == 1
    assert "refused /prompt" in (refused := capsys.readouterr().err) and "no.ckpt" in refused
    assert main([*command[:-1], "http://127.0.0.1:9", "-c", "no.ckpt"]) == 2
    assert "no ComfyUI answers at http://127.0.0.1:9" in capsys.readouterr().err


def test_a_shot_of_a_list_goes_through_the_graph(comfy_server: ComfyServer, tmp_path: Path) -> None:
    """Its keyframes, counts, size and seed; a number behind the end is refused, and a line that is no shot is named."""
    for name, colour in (("a", "white"), ("b", "grey")):
        Image.new("RGB", (24, 16), colour).save(tmp_path / f"{name}.png")
    shot = {
        "keyframes": ["a.png", "b.png", "a.png"],
        "width": 64,
        "height": 64,
        "frames": "3, 4",
        "seed": 5,
        "steps": 1,
    }
    path = tmp_path / "shots.jsonl"
    path.write_text(json.dumps({**shot, "name": "hop"}) + "\n")
    prompt = interpolation(["tooncrafter_first.png"], encode={"fps": 10})
    prompt |= {
        "list": node("ToonCrafterShotList", shot_list=str(path)),
        "shot": node("ToonCrafterTakeShot", shots=["list", 0], index=0),
    }
    wires = {"keyframes": 0, "frames": 1, "width": 2, "height": 3, "fps": 4, "loop": 5}
    prompt = changed(prompt, "encode", **{name: ["shot", slot] for name, slot in wires.items()})
    prompt = changed(prompt, "sampler", seed=["shot", 8], steps=["shot", 9], guidance_scale=["shot", 10])
    assert frames_of(comfy_server, prompt).shape == (6, 3, 64, 64)
    with pytest.raises(PromptFailed, match="index is 1; expected 0 to 0"):
        comfy_server.run(changed(prompt, "shot", index=1))
    path.write_text(path.read_text() + "{}\n")
    with pytest.raises(PromptFailed, match=r"shots\.jsonl, line 2: name is None"):
        comfy_server.run(prompt)
