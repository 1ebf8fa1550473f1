"""What the compared methods draw, on movements that are known."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from tooncrafter_core.evaluation.clips import Clip, read_clips
from tooncrafter_core.evaluation.methods.builtin import BUILTIN
from tooncrafter_core.evaluation.methods.checkpoint import CheckpointMethod
from tooncrafter_core.evaluation.methods.folders import folder_method
from tooncrafter_core.evaluation.methods.gap import Gap
from tooncrafter_core.evaluation.methods.videos import is_video, video_method
from tooncrafter_core.evaluation.metrics import psnr
from tooncrafter_core.evaluation.optical_flow import is_seen_in_both, optical_flow, warp
from tooncrafter_core.evaluation.report.store import Renders
from tooncrafter_core.evaluation.report.windows import Window, as_bytes
from tooncrafter_core.files.media import write_frames

MOVED = 8
"""px that the texture moves to the right between the keyframes."""


def texture(offset: float = 0) -> Tensor:
    """A smooth texture (3, 64, 96), moved to the right."""
    noise = torch.rand(1, 3, 9, 19, generator=torch.Generator().manual_seed(0))
    wide = F.interpolate(noise, (64, 144), mode="bicubic", align_corners=True)[0].clamp(0, 1)
    at = 24 - int(offset)
    return wide[:, :, at : at + 96]


def gap(frames: int = 5) -> Gap:
    return Gap("clip", texture(), texture(MOVED), frames, 24, "a texture")


def middle(frames: Tensor) -> Tensor:
    """Without the borders, over which things come in that no keyframe shows."""
    return frames[..., 8:-8, 16:-16]


def test_flow_says_where_pixels_went_and_warping_fetches_them() -> None:
    a, b = texture(), texture(MOVED)
    flow = optical_flow(a, b)
    assert middle(flow[0]).mean() == pytest.approx(MOVED, abs=0.3)
    assert middle(flow[1]).abs().mean() < 0.3
    assert psnr(middle(warp(b, flow))[None], middle(a)[None]) > 30


def test_warping_by_whole_pixels_is_exact() -> None:
    picture = torch.rand(2, 6, 8, generator=torch.Generator().manual_seed(0))
    flow = torch.stack([torch.full((6, 8), 2.0), torch.full((6, 8), -1.0)])
    torch.testing.assert_close(warp(picture, flow)[:, 1:, :-2], picture[:, :-1, 2:])


def test_what_does_not_lead_back_is_not_seen_in_both() -> None:
    there = torch.zeros(2, 6, 8)
    there[0] = 2
    back = -there
    back[:, :, 5] = 0
    seen = is_seen_in_both(there, back)
    assert not seen[:, 3].any() and seen[:, [0, 1, 2, 4]].all()


@pytest.mark.parametrize("name", BUILTIN)
def test_built_in_methods_begin_and_end_with_the_keyframes(name: str) -> None:
    asked = gap()
    frames = BUILTIN[name](asked)
    assert frames.shape == (5, 3, 64, 96)
    assert frames.min() >= 0 and frames.max() <= 1 + 1e-6
    torch.testing.assert_close(frames[[0, -1]], torch.stack([asked.first, asked.last]))


@pytest.mark.parametrize("name", ["flow", "minterpolate"])
def test_motion_compensation_puts_the_texture_where_it_is(name: str) -> None:
    """Every in-between lies nearer to its own moment's texture than a dissolve does, by far."""
    truth = torch.stack([texture(offset) for offset in (0, 2, 4, 6, 8)])
    moved, dissolved = (middle(BUILTIN[method](gap())) for method in (name, "dissolve"))
    for frame, blend, true in zip(moved[1:-1], dissolved[1:-1], middle(truth)[1:-1], strict=True):
        assert psnr(frame[None], true[None]) > psnr(blend[None], true[None]) + 3


class Echo:
    """Draws what it is given, and counts."""

    identity = sketch_identity = "echo"

    def __init__(self) -> None:
        self.asked: list[Window] = []

    def draw(self, window: Window, sketch: Tensor | None = None) -> Tensor:
        self.asked.append(window)
        return window.video

    def reconstruct(self, window: Window, references: bool) -> Tensor:
        raise NotImplementedError


def test_a_model_sees_the_keyframes_and_draws_once(tmp_path: Path) -> None:
    echo = Echo()
    method = CheckpointMethod(echo, Renders(tmp_path), seed=3)
    asked = gap()
    drawn = [method(asked) for _ in range(2)]
    (window,) = echo.asked
    assert (window.caption, window.fps, len(window.video)) == ("a texture", 24, 5)
    assert torch.equal(window.video[[0, -1]], as_bytes(torch.stack([asked.first, asked.last])))
    assert torch.equal(drawn[0], drawn[1])
    method(replace(asked, last=asked.first))
    CheckpointMethod(echo, Renders(tmp_path), seed=4)(asked)
    assert len(echo.asked) == 3
    assert echo.asked[2].seed != window.seed


def frames_of(brightness: float, count: int = 4, width: int = 24) -> Tensor:
    return torch.linspace(0, brightness, count)[:, None, None, None].expand(-1, 3, 16, width)


@pytest.fixture
def clips(tmp_path: Path) -> list[Clip]:
    for name in ("a", "b"):
        write_frames(frames_of(1.0), tmp_path / "truth" / name, 24)
    return read_clips(tmp_path / "truth", 24)


def test_frames_of_a_folder_are_taken_by_the_clips_name(tmp_path: Path, clips: list[Clip]) -> None:
    write_frames(frames_of(0.2), tmp_path / "other" / "a", 24)
    write_frames(frames_of(0.4), tmp_path / "other" / "b", 24)
    method = folder_method(tmp_path / "other", clips)
    truth = clips[1].frames()
    frames = method(Gap("b", truth[0], truth[-1], 4, 24, ""))
    torch.testing.assert_close(frames, as_bytes(frames_of(0.4)) / 255)


def test_a_folder_of_pictures_is_the_only_clip(tmp_path: Path) -> None:
    for name in ("shot", "drawn"):
        write_frames(frames_of(1.0), tmp_path / name, 24)
    (clip,) = read_clips(tmp_path / "shot", 12)
    assert (clip.name, clip.fps, len(clip.files)) == ("shot", 12, 4)
    assert folder_method(tmp_path / "drawn", [clip]).files.keys() == {"shot"}


def test_videos_are_taken_by_the_clips_name(tmp_path: Path, clips: list[Clip]) -> None:
    (tmp_path / "other").mkdir()
    for name, brightness in (("a", 0.2), ("b", 0.4)):
        write_frames(frames_of(brightness), tmp_path / "other" / f"{name}.mp4", 24)
    assert is_video(tmp_path / "other") and not is_video(tmp_path / "truth")
    frames = video_method(tmp_path / "other", clips)(Gap("b", torch.zeros(0), torch.zeros(0), 4, 24, ""))
    torch.testing.assert_close(frames, frames_of(0.4), atol=0.02, rtol=0)
    assert video_method(tmp_path / "other" / "a.mp4", clips[1:]).files.keys() == {"b"}


@pytest.mark.parametrize(
    ("count", "message"),
    [
        (5, r"b\.mp4 has 5 frames of 24 x 16 pixels; expected 4 of 24 x 16 pixels"),
        (0, r"b\.mp4 cannot be read as a video"),
        (None, r"does not fit the truth \(1 missing: b\); expected a video for each of the 2 true clips"),
    ],
)
def test_videos_that_do_not_fit_are_refused(tmp_path: Path, clips: list[Clip], count: int | None, message: str) -> None:
    (tmp_path / "other").mkdir()
    write_frames(frames_of(1.0), tmp_path / "other" / "a.mp4", 24)
    if count:
        write_frames(frames_of(1.0, count=count), tmp_path / "other" / "b.mp4", 24)
    elif count == 0:
        (tmp_path / "other" / "b.mp4").write_bytes(b"no video")
    with pytest.raises(ValueError, match=message):
        video_method(tmp_path / "other", clips)


@pytest.mark.parametrize(
    ("frames", "message"),
    [
        (frames_of(1.0, count=5), r"has 5 frames; expected 4, as the true clip has, keyframes included"),
        (frames_of(1.0, width=32), r"0000\.png is 32 x 16 pixels; expected 24 x 16 pixels, as .*0000\.png is"),
        (None, r"does not fit the truth \(1 missing: b\); expected a sub-folder for each of the 2 true clips"),
    ],
)
def test_a_folder_that_does_not_fit_is_refused(
    tmp_path: Path, clips: list[Clip], frames: Tensor | None, message: str
) -> None:
    write_frames(frames_of(1.0), tmp_path / "other" / "a", 24)
    if frames is not None:
        write_frames(frames, tmp_path / "other" / "b", 24)
    with pytest.raises(ValueError, match=message):
        folder_method(tmp_path / "other", clips)


@pytest.mark.parametrize(
    ("about", "message"),
    [
        ("[1", r"clips\.json is not JSON"),
        ("[]", r"clips\.json is \[\]; expected an object for each clip's name"),
        ('{"c": {}}', r"names the clip 'c', which is no folder beside it"),
        ('{"a": {"speed": 3}}', r"clip a: key 'speed' is unknown; expected group, fps, prompt"),
        ('{"a": {"fps": "fast"}}', r"clip a: fps is 'fast'; expected a number"),
        ('{"a": {"fps": 0}}', r"clip a: fps is 0; expected 1 to 60"),
        ('{"a": {"prompt": 3}}', r"clip a: prompt is 3; expected a text"),
    ],
)
def test_what_is_said_of_clips_is_checked(tmp_path: Path, clips: list[Clip], about: str, message: str) -> None:
    (tmp_path / "truth" / "clips.json").write_text(about)
    with pytest.raises(ValueError, match=message):
        read_clips(tmp_path / "truth", 24)


def test_what_is_said_of_clips_is_known(tmp_path: Path, clips: list[Clip]) -> None:
    (tmp_path / "truth" / "clips.json").write_text('{"b": {"group": "film", "fps": 8, "prompt": "a cat"}}')
    a, b = read_clips(tmp_path / "truth", 24)
    assert (a.group, a.fps, a.prompt) == ("", 24, "")
    assert (b.group, b.fps, b.prompt) == ("film", 8, "a cat")


def test_bad_true_clips_are_named(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="is not there; expected a folder of frames"):
        read_clips(tmp_path / "truth", 24)
    write_frames(frames_of(1.0, count=2), tmp_path / "truth" / "a", 24)
    with pytest.raises(ValueError, match="a has 2 frames; expected 3 or more"):
        read_clips(tmp_path / "truth", 24)
    write_frames(frames_of(1.0, width=8), tmp_path / "truth" / "a", 24)
    with pytest.raises(ValueError, match="is 8 x 16 pixels; expected sides of 16 or more"):
        read_clips(tmp_path / "truth", 24)
    write_frames(frames_of(1.0), tmp_path / "truth" / "a", 24)
    write_frames(frames_of(1.0, width=32), tmp_path / "wide", 24)
    (tmp_path / "wide" / "0001.png").rename(tmp_path / "truth" / "a" / "0002.png")
    (clip,) = read_clips(tmp_path / "truth", 24)
    with pytest.raises(ValueError, match=r"0002\.png is 32 x 16 pixels, and .*0000\.png is 24 x 16 pixels"):
        clip.frames()
