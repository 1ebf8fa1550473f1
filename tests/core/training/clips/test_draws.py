"""Samples and batches: unreadable clips are replaced and counted, and pixels come to the models' range."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch.utils.data import DataLoader

from tooncrafter_core.training.clips.draws import Batch, Drawn, Draws, UnreadableClips, collate, to_model_range
from tooncrafter_core.training.clips.manifest import Clip
from tooncrafter_core.training.clips.stream import ClipStream, Cut, Sample, Skipped

FPS = 24.0
COUNT = 24


def clip(path: Path, length: int) -> Clip:
    """A folder of pictures of random pixels; of none, if it has no length."""
    path.mkdir()
    for number in range(length):
        pixels = np.random.default_rng(number).integers(0, 256, (16, 24, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(path / f"{number:02}.png")
    return Clip(path, FPS, path.name, "train", path.name, "toon", 1.0)


def draws(clips: list[Clip], strides: tuple[int, ...] = (1,), seed: int = 0) -> Draws:
    return Draws(ClipStream(clips, Cut(4, 24, 16, strides), seed, COUNT))


@pytest.fixture
def mixed(tmp_path: Path) -> Draws:
    """Half of the clips are unreadable."""
    return draws([clip(tmp_path / "a", 6), clip(tmp_path / "gone", 0)])


def test_unreadable_clips_are_replaced_and_counted(mixed: Draws) -> None:
    found = [mixed[n] for n in range(COUNT)]
    assert {drawn.sample.clip for drawn in found} == {0}
    skipped = [drawn.skipped for drawn in found]
    assert [count > 0 for count in skipped] == [isinstance(mixed.stream[n], Skipped) for n in range(COUNT)]
    assert 0 in skipped and max(skipped) > 1
    assert collate(found).skipped == sum(skipped)


def test_replacements_are_as_random_as_other_draws(mixed: Draws) -> None:
    videos = [mixed[n].sample.video for n in range(COUNT)]
    assert all(torch.equal(mixed[n].sample.video, videos[n]) for n in reversed(range(COUNT)))
    replaced = {bytes(mixed[n].sample.video.numpy()) for n in range(COUNT) if mixed[n].skipped}
    assert len(replaced) > 3


def test_nothing_but_unreadable_clips(tmp_path: Path) -> None:
    nothing = draws([clip(tmp_path / "gone", 0), clip(tmp_path / "short", 3)])
    with pytest.raises(UnreadableClips, match=r"20 clips in a row could not be read, the last one .*(gone|short): has"):
        nothing[5]
    with pytest.raises(UnreadableClips, match="Check the folder"):
        nothing.check()


@pytest.mark.parametrize("workers", [0, 1])
def test_batches(mixed: Draws, workers: int) -> None:
    batches: list[Batch] = list(DataLoader(mixed, batch_size=4, num_workers=workers, collate_fn=collate))
    assert len(batches) == COUNT / 4
    for number, batch in enumerate(batches):
        one_by_one = [mixed[4 * number + column] for column in range(4)]
        assert batch.video.shape == (4, 3, 4, 16, 24)
        assert batch.video.dtype == torch.float32
        for video, drawn in zip(batch.video, one_by_one, strict=True):
            pixels = ((video + 1) * 127.5).round().byte()
            assert torch.equal(pixels.transpose(0, 1), drawn.sample.video)
        assert batch.captions == ["a"] * 4
        assert batch.skipped == sum(drawn.skipped for drawn in one_by_one)


def test_frames_per_second_fall_with_the_stride(tmp_path: Path) -> None:
    found = draws([clip(tmp_path / "a", 12)], strides=(1, 2, 3))
    drawn = [found[n] for n in range(COUNT)]
    batch = collate(drawn)
    assert {*batch.fps.tolist()} == {FPS, FPS / 2, FPS / 3}
    for one, fps in zip(drawn, batch.fps.tolist(), strict=True):
        assert fps == FPS / one.sample.stride
        steps = torch.tensor([number_of(frame, one) for frame in one.sample.video]).diff()
        assert steps.tolist() == [one.sample.stride] * 3


def number_of(frame: torch.Tensor, drawn: Drawn) -> int:
    """Which of the clip's pictures a frame is."""
    upright = frame.flip(-1) if drawn.sample.flipped else frame
    for number in range(12):
        pixels = np.random.default_rng(number).integers(0, 256, (16, 24, 3), dtype=np.uint8)
        if torch.equal(torch.from_numpy(pixels).permute(2, 0, 1), upright):
            return number
    raise AssertionError("no picture of the clip")


def test_model_range() -> None:
    pixels = torch.tensor([0, 255, 51], dtype=torch.uint8)
    assert to_model_range(pixels).tolist() == pytest.approx([-1, 1, -0.6])
    video = torch.zeros(4, 3, 2, 5, dtype=torch.uint8)
    video[1, 0] = 255
    batch = collate([Drawn(Sample(video, 8.0, "a", 0, False, 0, 3), 0)] * 2)
    assert batch.video.shape == (2, 3, 4, 2, 5)
    assert (batch.video[:, 0, 1] == 1).all() and batch.video.sum() == -2 * (3 * 4 - 2) * 10
