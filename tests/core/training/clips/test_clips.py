"""The stream of draws: repeatable, cut as asked for, and honest about clips that cannot be read."""

from __future__ import annotations

from pathlib import Path

import av
import numpy as np
import pytest
import torch
from PIL import Image

from tooncrafter_core.training.clips.manifest import Clip
from tooncrafter_core.training.clips.stream import ClipStream, Cut, Sample, Skipped

WIDTH, HEIGHT, LENGTH = 48, 32, 20
SETTINGS = {"frames": 4, "width": WIDTH, "height": HEIGHT, "strides": [1, 2, 3], "seed": 5, "draws": 40}


def picture(number: int, width: int = WIDTH, height: int = HEIGHT) -> np.ndarray:
    """(H, W, 3): red tells the frame, green the column and blue the row."""
    rows, columns = np.mgrid[:height, :width]
    return np.stack([np.full_like(rows, 10 * number), 2 * columns, 2 * rows], axis=-1).astype(np.uint8)


def write_folder(path: Path, length: int = LENGTH, width: int = WIDTH, height: int = HEIGHT) -> Path:
    path.mkdir()
    for number in range(length):
        Image.fromarray(picture(number, width, height)).save(path / f"{number:04}.png")
    return path


def write_video(path: Path) -> Path:
    """A video (.mkv or .mov) without any loss."""
    codec, pixels = {".mkv": ("ffv1", "bgr0"), ".mov": ("png", "rgb24")}[path.suffix]
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=24)
        stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, pixels
        for number in range(LENGTH):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture(number), format="rgb24")))
        container.mux(stream.encode())
    return path


def clip(path: Path, fps: float = 24.0) -> Clip:
    return Clip(path, fps, path.stem, "train", path.stem, "toon", 1.0)


def stream(clips: list[Clip], **changes: object) -> ClipStream:
    chosen = {**SETTINGS, **changes}
    seed, draws = chosen.pop("seed"), chosen.pop("draws")
    return ClipStream(clips, Cut(**chosen), seed, draws)


def draws(source: ClipStream) -> list[Sample]:
    found = list(source)
    assert all(isinstance(item, Sample) for item in found)
    return found


def test_a_draw_does_not_depend_on_other_draws(tmp_path):
    clips = [clip(write_folder(tmp_path / "a")), clip(write_video(tmp_path / "b.mkv"))]
    forward = draws(stream(clips))
    again = stream(clips)
    for n in reversed(range(len(again))):
        assert torch.equal(again[n].video, forward[n].video)
        assert (again[n].clip, again[n].start, again[n].stride) == (
            forward[n].clip,
            forward[n].start,
            forward[n].stride,
        )
    longer = stream(clips, draws=50)
    assert torch.equal(longer[17].video, forward[17].video)
    assert any(not torch.equal(a.video, b.video) for a, b in zip(forward, stream(clips, seed=6), strict=True))
    assert torch.equal(stream(clips)[45].video, longer[45].video)


def test_draws_vary_and_say_what_they_are(tmp_path):
    clips = [clip(write_folder(tmp_path / "a")), clip(write_folder(tmp_path / "b"), fps=12.0)]
    found = draws(stream(clips))
    assert {sample.clip for sample in found} == {0, 1}
    assert {sample.stride for sample in found} == {1, 2, 3}
    assert {sample.flipped for sample in found} == {False, True}
    for sample in found:
        numbers = range(sample.start, sample.start + 4 * sample.stride, sample.stride)
        wanted = torch.from_numpy(np.stack([picture(number) for number in numbers])).permute(0, 3, 1, 2)
        assert torch.equal(sample.video, wanted.flip(-1) if sample.flipped else wanted)
        assert sample.video.dtype == torch.uint8 and sample.video.is_contiguous()
        assert sample.fps == (24.0, 12.0)[sample.clip] / sample.stride
        assert sample.caption == "ab"[sample.clip]


@pytest.mark.parametrize("name", ["clip.mkv", "clip.mov"])  # Matroska does not say how many frames it has
def test_a_video_and_its_frames_in_a_folder_give_the_same(tmp_path, name):
    video, folder = clip(write_video(tmp_path / name)), clip(write_folder(tmp_path / "frames"))
    for one, other in zip(draws(stream([video])), draws(stream([folder])), strict=True):
        assert torch.equal(one.video, other.video)


def test_the_last_frames_are_drawn_too(tmp_path):
    found = draws(stream([clip(write_video(tmp_path / "a.mov"))], frames=19, draws=20))
    assert {sample.start for sample in found} == {0, 1}
    assert {sample.stride for sample in found} == {1}


def test_a_large_clip_is_cropped_as_it_is(tmp_path):
    found = draws(stream([clip(write_folder(tmp_path / "a"))], width=40, height=20, strides=[1]))
    corners = set()
    for sample in found:
        video = sample.video.flip(-1) if sample.flipped else sample.video
        left, top = video[0, 1, 0, 0].item() // 2, video[0, 2, 0, 0].item() // 2
        wanted = torch.from_numpy(picture(sample.start)).permute(2, 0, 1)[:, top : top + 20, left : left + 40]
        assert torch.equal(video[0], wanted)
        corners.add((left, top))
    assert len(corners) > 10


@pytest.mark.parametrize(("width", "height"), [(96, 64), (96, 40), (50, 64), (49, 33)])
def test_a_small_clip_is_enlarged_in_shape(tmp_path, width, height):
    found = draws(stream([clip(write_folder(tmp_path / "a"))], width=width, height=height, draws=6))
    scale = max(width / WIDTH, height / HEIGHT)
    for sample in found:
        assert sample.video.shape == (4, 3, height, width)
        across = sample.video[0, 1, 0].float().diff()[4:-4].abs().mean()
        down = sample.video[0, 2, :, 0].float().diff()[4:-4].mean()
        assert across.item() == pytest.approx(2 / scale, rel=0.1)
        assert down.item() == pytest.approx(2 / scale, rel=0.1)


def test_unusable_clips_are_skipped_with_a_reason(tmp_path):
    good = write_video(tmp_path / "good.mov")
    cut = tmp_path / "cut.mov"
    cut.write_bytes(good.read_bytes()[: good.stat().st_size // 2])
    text = tmp_path / "text.mp4"
    text.write_text("not a video")
    broken = write_folder(tmp_path / "broken")
    for file in broken.iterdir():
        file.write_bytes(file.read_bytes()[:60])
    mixed = write_folder(tmp_path / "mixed")
    for file in sorted(mixed.iterdir())[::2]:
        Image.new("RGB", (30, 30)).save(file)
    empty = tmp_path / "empty"
    empty.mkdir()
    reasons = {
        cut: "",
        text: "",
        broken: "",
        tmp_path / "absent.mp4": "No such file",
        mixed: "different sizes",
        empty: "has 0 frames; expected at least 4",
        write_folder(tmp_path / "short", 3): "has 3 frames; expected at least 4",
    }
    clips = [clip(good), *map(clip, reasons)]
    items = list(stream(clips, strides=[1], draws=100))
    samples = [item for item in items if isinstance(item, Sample)]
    skipped = [item for item in items if isinstance(item, Skipped)]
    assert len(samples) + len(skipped) == 100
    assert {sample.clip for sample in samples} == {0}
    assert {item.path for item in skipped} == reasons.keys()
    for item in skipped:
        assert reasons[item.path] in item.reason and item.reason


def test_a_video_that_ends_early_is_skipped(tmp_path):
    path = write_video(tmp_path / "a.mov")
    data = path.read_bytes()
    first, end = data.index(b"mdat") + 200, data.index(b"moov") - 4
    path.write_bytes(data[:first] + bytes(end - first) + data[end:])
    items = list(stream([clip(path)], frames=10, draws=5))
    assert all(isinstance(item, Skipped) and item.path == path and item.reason for item in items)


def test_a_sound_file_is_skipped(tmp_path):
    path = tmp_path / "sound.wav"
    with av.open(str(path), "w") as container:
        sound = container.add_stream("pcm_s16le", rate=8000)
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 800), np.int16), format="s16", layout="mono")
        frame.sample_rate = 8000
        container.mux(sound.encode(frame))
    item = stream([clip(path)])[0]
    assert isinstance(item, Skipped) and "no video stream" in item.reason


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"frames": 0}, "frames is 0"),
        ({"width": 0}, "width is 0"),
        ({"height": -8}, "height is -8"),
        ({"draws": 0}, "draws is 0"),
        ({"seed": -1}, "seed is -1"),
        ({"strides": []}, "strides are"),
        ({"strides": [1, 0]}, "strides are"),
    ],
)
def test_wrong_settings_are_refused(tmp_path, change, message):
    with pytest.raises(ValueError, match=message):
        stream([clip(tmp_path)], **change)


def test_no_clips_and_negative_draws_are_refused(tmp_path):
    with pytest.raises(ValueError, match="no clips"):
        stream([])
    with pytest.raises(IndexError, match="draw -1"):
        stream([clip(tmp_path)])[-1]
