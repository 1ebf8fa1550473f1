"""The nodes for finished frames, on a real server; keyframes that are kept, through the whole graph."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from bundled import true_frames, upload
from comfy_harness.prompts import Prompt, changed, interpolation, node
from comfy_harness.server import ComfyServer, PromptFailed
from PIL import Image
from results import frames_of, latents_of
from torch import Tensor

from tooncrafter_core.files.images import fit_images

STEP = 1 / 255
"""Pictures are saved in 8 bits, rounded down."""
RETIME = {"frames_per_segment": 16, "curve": "cubic in-out", "length": 9, "blend": False}


@pytest.fixture(scope="module")
def truth() -> Tensor:
    """A drawn scene of 16 frames."""
    return (true_frames(16) * 255).round() / 255


@pytest.fixture(scope="module")
def clip(comfy_server: ComfyServer, truth: Tensor) -> Prompt:
    """The scene as one batch of images."""
    name = upload(comfy_server, truth, "clip")
    return {"clip": node("LoadImage", image=name)}


def run(server: ComfyServer, clip: Prompt, class_type: str, **inputs: object) -> Tensor:
    """What one node makes of the clip."""
    wires = {"frames": ["clip", 0], **inputs}
    prompt = {**clip, "node": node(class_type, **wires)}
    return frames_of(server, {**prompt, "save": node("SaveImage", images=["node", 0], filename_prefix="frames")})


def shown(frames: Tensor, truth: Tensor) -> list[int]:
    """Which frame of the clip each frame is."""
    distances = (frames[:, None] - truth[None]).abs().amax(dim=(2, 3, 4))
    assert distances.amin(dim=1).max() <= STEP
    return distances.argmin(dim=1).tolist()


def test_timing(comfy_server: ComfyServer, clip: Prompt, truth: Tensor) -> None:
    retimed = shown(run(comfy_server, clip, "ToonCrafterRetime", **RETIME), truth)
    assert retimed == [0, 0, 1, 3, 8, 12, 14, 15, 15]
    held = run(comfy_server, clip, "ToonCrafterHoldFrames", frames_per_segment=16, hold=4)
    assert shown(held, truth) == [0] * 4 + [4] * 4 + [8] * 4 + [12] * 3 + [15]
    trimmed = run(comfy_server, clip, "ToonCrafterTrimKeyframes", frames_per_segment=16, drop=3)
    assert shown(trimmed, truth) == [0, *range(4, 12), 15]
    back = run(comfy_server, clip, "ToonCrafterPingPong", repeat_ends=False)
    assert shown(back, truth) == [*range(16), *range(14, 0, -1)]


def test_duplicates_of_a_hold_are_dropped(comfy_server: ComfyServer, clip: Prompt, truth: Tensor) -> None:
    held = {"held": node("ToonCrafterHoldFrames", frames=["clip", 0], frames_per_segment=16, hold=3)}
    frames = run(comfy_server, {**clip, **held}, "ToonCrafterDropDuplicates", frames=["held", 0], threshold=2.0)
    assert shown(frames, truth) == [0, 3, 6, 9, 12, 15]


def test_colours_of_a_clean_clip_stay(comfy_server: ComfyServer, clip: Prompt, truth: Tensor) -> None:
    matched = run(comfy_server, clip, "ToonCrafterMatchColours", frames_per_segment=16, strength=1.0)
    assert ((matched - truth).abs() > 1.01 * STEP).float().mean() < 0.001


def test_sheets(comfy_server: ComfyServer, clip: Prompt, truth: Tensor) -> None:
    (sheet,) = run(comfy_server, clip, "ToonCrafterContactSheet", columns=8, keyframes="0, -1", sketches="7")
    height, width = truth.shape[-2:]
    assert (sheet[:, :height, width : 2 * width] - truth[1]).abs().max() <= STEP
    skin = {"before": 1, "after": 1, "before_tint": "#ff0000", "after_tint": "#0000ff", "opacity": 0.5}
    (skinned,) = run(comfy_server, clip, "ToonCrafterOnionSkin", frame=7, **skin)
    changed_pixels = ((skinned - truth[7]).abs().amax(dim=0) > STEP).float().mean()
    assert 0.005 < changed_pixels < 0.2


def test_a_gif_moves(comfy_server: ComfyServer, clip: Prompt, truth: Tensor) -> None:
    saved = node("ToonCrafterSaveGif", frames=["clip", 0], filename_prefix="shots/hop", fps=10)
    (path,) = comfy_server.outputs(comfy_server.run({**clip, "node": saved}))
    assert (path.parent.name, path.suffix) == ("shots", ".gif")
    with Image.open(path) as moving:
        assert (moving.n_frames, moving.info["duration"], moving.size) == (16, 100, truth.shape[:1:-1])
        moving.seek(8)
        shown = torch.from_numpy(np.asarray(moving.convert("RGB")).copy()).permute(2, 0, 1).float() / 255
    distances = (shown - truth).abs().mean(dim=(1, 2, 3))
    assert distances.argmin() == 8 and distances[8] < 0.01


@pytest.mark.parametrize("prefix", ["../hop", "shots/../../hop", "/hop", ".."])
def test_a_gif_stays_in_the_output_folder(comfy_server: ComfyServer, clip: Prompt, prefix: str) -> None:
    saved = node("ToonCrafterSaveGif", frames=["clip", 0], filename_prefix=prefix, fps=10)
    with pytest.raises(PromptFailed, match=f"filename_prefix is '{prefix}', which leads out of .*; expected a name in"):
        comfy_server.run({**clip, "node": saved})


def test_transparency_reaches_the_files(comfy_server: ComfyServer, clip: Prompt, truth: Tensor) -> None:
    """PNG and animated WebP: the corner is transparent, and what is opaque is the clip's."""
    matte = node("ToonCrafterMatte", frames=["clip", 0], transparent=6.0, opaque=24.0)
    webp = {"fps": 12.0, "lossless": True, "quality": 80, "method": "fastest", "filename_prefix": "cut"}
    prompt: Prompt = {
        **clip,
        "matte": matte,
        "save": node("SaveImage", images=["matte", 0], filename_prefix="cut"),
        "animation": node("SaveAnimatedWEBP", images=["matte", 0], **webp),
    }
    paths = comfy_server.outputs(comfy_server.run(prompt))
    (animation,) = (path for path in paths if path.suffix == ".webp")
    pictures = [Image.open(path) for path in paths if path.suffix == ".png"]
    with Image.open(animation) as moving:
        assert (len(pictures), moving.n_frames) == (16, 16)
        pictures.append(moving.convert("RGBA"))
    for picture, frame in zip(pictures, [*truth, truth[0]], strict=True):
        assert picture.mode == "RGBA"
        rgba = torch.from_numpy(np.asarray(picture).copy()).permute(2, 0, 1).float() / 255
        assert rgba[3, 0, 0] == 0
        opaque = rgba[3] == 1
        assert 0.01 < opaque.float().mean() < 0.5
        assert (rgba[:3] - frame)[:, opaque].abs().max() <= STEP


def test_latents_are_retimed_with_the_frames(comfy_server: ComfyServer, drawn: dict[str, str]) -> None:
    small = {"width": 64, "height": 64, "frames": 6}
    graph = interpolation([drawn["first"], drawn["last"]], encode=small, sample={"steps": 1})
    back = {"back": node("ToonCrafterPingPong", latent=["sampler", 0], repeat_ends=False)}
    before, after = latents_of(comfy_server, graph), latents_of(comfy_server, {**graph, **back}, ("back", 1))
    assert torch.equal(after, before[[0, 1, 2, 3, 4, 5, 4, 3, 2, 1]])


def test_kept_keyframes_are_the_drawn_ones(comfy_server: ComfyServer, truth: Tensor) -> None:
    """Of a size that is no multiple of 8, and shared by two segments."""
    names = [upload(comfy_server, truth[[index]], f"key_{index}") for index in (0, 8, 15)]
    size = {"width": 130, "height": 67, "frames": 4, "fit": "crop"}
    plain = interpolation(names, encode=size, sample={"steps": 1}, two_pass=False)
    wanted = fit_images(truth[[0, 8, 15]], size["width"], size["height"], "crop")
    decoded = frames_of(comfy_server, plain)
    kept = frames_of(comfy_server, changed(plain, "decode", keep_keyframes=True))
    assert kept.shape == decoded.shape == (7, 3, size["height"], size["width"])
    assert (kept[[0, 3, 6]] - wanted).abs().max() <= 1.01 * STEP
    assert (decoded[[0, 3, 6]] - wanted).abs().mean() > 3 * STEP


def test_several_seeds_in_one_run_and_one_goes_on(comfy_server: ComfyServer, drawn: dict[str, str]) -> None:
    graph = interpolation([drawn["first"], drawn["last"]], encode={"width": 64, "height": 64, "frames": 6})
    one = changed(graph, "sampler", steps=1, seed=7)
    several: Prompt = {
        **changed(one, "sampler", seed=["seeds", 0]),
        "seeds": node("ToonCrafterSeeds", seeds="3, 7"),
        "pick": node("ToonCrafterPickSeed", seeds=["seeds", 0], latents=["sampler", 0], seed=7),
        "sheet": node("ToonCrafterSeedSheet", seeds=["seeds", 0], frames=["decode", 0], shown=3),
        "save": node("SaveImage", images=["sheet", 0], filename_prefix="sheet"),
    }
    assert torch.equal(latents_of(comfy_server, several, ("pick", 0)), latents_of(comfy_server, one))
    (sheet,) = frames_of(comfy_server, several)
    height = sheet.shape[1] // 2
    assert sheet.shape == (3, 2 * height, 3 * 64)
    plain = frames_of(comfy_server, one)
    assert (sheet[:, height : height + 64, 128:] - plain[5]).abs().max() <= STEP
    with pytest.raises(PromptFailed) as failure:
        comfy_server.run(changed(several, "pick", seed=8) | {"out": node("PreviewAny", source=["pick", 0])}, timeout=60)
    assert "expected one of those that ran: 3, 7" in failure.value.exception_message


MISTAKES = [
    ("ToonCrafterRetime", {**RETIME, "curve": "bouncy"}, ["bouncy", "sine in-out", "bezier x1 y1 x2 y2"]),
    ("ToonCrafterRetime", {**RETIME, "frames": None}, ["neither frames nor latent"]),
    ("ToonCrafterHoldFrames", {"frames_per_segment": 7, "hold": 2}, ["16 frames", "segments of 7", "n x 6 + 1"]),
    ("ToonCrafterHoldFrames", {"frames_per_segment": "1", "hold": 2}, ["frames_per_segment is 1; expected 2 or more"]),
    ("ToonCrafterHoldFrames", {"frames_per_segment": "16;", "hold": 2}, ["frames_per_segment is '16;'; expected a"]),
    ("ToonCrafterTrimKeyframes", {"frames_per_segment": 16, "drop": 7}, ["leaves none of the 14", "at most 6"]),
    ("ToonCrafterMatchColours", {"frames_per_segment": 12, "strength": 1.0}, ["16 frames", "segments of 12"]),
    ("ToonCrafterContactSheet", {"columns": 4, "keyframes": "0, 16", "sketches": ""}, ["16", "0 to 15"]),
]


@pytest.mark.parametrize(("class_type", "inputs", "words"), MISTAKES)
def test_mistakes_are_explained(
    comfy_server: ComfyServer, clip: Prompt, class_type: str, inputs: dict[str, object], words: list[str]
) -> None:
    given = {name: value for name, value in {"frames": ["clip", 0], **inputs}.items() if value is not None}
    save = node("SaveImage", images=["node", 0], filename_prefix="frames")
    with pytest.raises(PromptFailed) as failure:
        comfy_server.run({**clip, "node": node(class_type, **given), "save": save}, timeout=30)
    assert all(word in failure.value.exception_message for word in words), failure.value.exception_message
