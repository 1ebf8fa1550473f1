"""What cannot fit into memory is refused before any work, and what can is not."""

from __future__ import annotations

import math
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import benchmark
import pytest
import random_checkpoint
import torch

from tooncrafter_core import Settings, ToonCrafter, interpolate
from tooncrafter_core.__main__ import main
from tooncrafter_core.limits import AutoencoderDemands, DenoiserDemands, Job, Room, check_room
from tooncrafter_core.memory import decode_bytes, unet_bytes
from tooncrafter_core.models.vae.chunking import Chunking
from tooncrafter_core.stages import film

GIB = 2**30
JOB = Job(keyframes=2, frames=(16,), width=512, height=320)
HALF = torch.float16
PUBLISHED = (DenoiserDemands(benchmark.UNET, 16, HALF), AutoencoderDemands(benchmark.AUTOENCODER, HALF))
SMALL = (
    DenoiserDemands(random_checkpoint.MODEL.unet, 16, torch.float32),
    AutoencoderDemands(random_checkpoint.MODEL.autoencoder, torch.float32),
)


def card(gigabytes: float, main: float = 64) -> Room:
    return Room(gigabytes * GIB, main * GIB, shared=False)


def computer(gigabytes: float) -> Room:
    """Without a card."""
    return Room(gigabytes * GIB, gigabytes * GIB, shared=True)


@pytest.mark.parametrize("room", [card(2, main=4), computer(5), card(math.inf)], ids=["card", "cpu", "unknown"])
def test_the_published_size_fits(room: Room) -> None:
    check_room(JOB, room, *PUBLISHED)


@pytest.mark.parametrize(
    ("job", "room", "words"),
    [
        (
            replace(JOB, width=4096, height=4096),
            card(24),
            ["sampling takes about", "GiB of the device's memory", "24.0"],
        ),
        (replace(JOB, width=2048, height=1280), card(24, main=2), ["main memory"]),
        (JOB, computer(0.5), ["main memory", "512 MiB are free"]),
        (replace(JOB, keyframes=1000, frames=(16,) * 999), card(24, main=16), ["1000 keyframe", "main memory"]),
    ],
    ids=["card", "main memory", "cpu", "many keyframes"],
)
def test_what_cannot_fit_is_refused(job: Job, room: Room, words: list[str]) -> None:
    with pytest.raises(ValueError, match=f"{job.width} x {job.height}") as refusal:
        check_room(job, room, *PUBLISHED)
    assert all(word in str(refusal.value) for word in [*words, "smaller size or fewer frames"]), refusal.value


def test_the_small_model_at_4096() -> None:
    """On a computer of 24 GB, where it was offered and took all of them."""
    with pytest.raises(ValueError, match=r"4096 x 4096 .* would fit"):
        check_room(replace(JOB, width=4096, height=4096), computer(22), *SMALL)


def test_the_size_that_would_fit_does() -> None:
    job, room = replace(JOB, width=2048, height=1280), computer(12)
    with pytest.raises(ValueError, match=r"\. (\d+) x (\d+) would fit") as refusal:
        check_room(job, room, *PUBLISHED)
    width, height = map(int, re.findall(r"(\d+) x (\d+) would fit", str(refusal.value))[0])
    check_room(replace(job, width=width, height=height), room, *PUBLISHED)
    with pytest.raises(ValueError, match="would fit"):
        check_room(replace(job, width=width + 64, height=height + 40), room, *PUBLISHED)


@pytest.mark.parametrize("demand", PUBLISHED, ids=["denoiser", "autoencoder"])
def test_the_smallest_way_of_working_is_what_counts(demand: Any) -> None:
    """One pass of the U-Net at a time, the decoder's video in main memory: as much is not refused."""
    need = max(
        unet_bytes(benchmark.UNET, 16, 40, 64, HALF),
        decode_bytes(benchmark.AUTOENCODER, 16, 40, 64, HALF, Chunking.OFFLOADED),
    )
    check_room(JOB, card(need / GIB), demand)


def test_the_decoders_video_may_be_on_the_device() -> None:
    """Where main memory has no room for it."""
    job = replace(JOB, width=1024, height=640)
    check_room(job, card(24, main=2.5), PUBLISHED[1])
    with pytest.raises(ValueError, match=r"decoding takes about .* of main memory"):
        check_room(job, card(2.5, main=2.5), PUBLISHED[1])


def test_weights_count_where_they_come_as_a_whole() -> None:
    check_room(JOB, card(2), PUBLISHED[0])
    with pytest.raises(ValueError, match="sampling"):
        check_room(JOB, card(2), replace(PUBLISHED[0], weights=3 * GIB))


def test_sketches_count_on_a_host_for_all_frames() -> None:
    sketch = benchmark.PUBLISHED_SKETCH.sketch
    many = replace(JOB, keyframes=30, frames=(16,) * 29)
    check_room(many, card(2), replace(PUBLISHED[0], sketch=sketch))
    with pytest.raises(ValueError, match="sampling"):
        check_room(many, card(2), replace(PUBLISHED[0], sketch=sketch, all_controls=True))


def test_long_segments_need_one_window_of_the_unet() -> None:
    check_room(replace(JOB, frames=(160,)), card(1), PUBLISHED[0])


@pytest.mark.parametrize("free", [0, 2**20])
def test_interpolate_refuses_before_anything_runs(
    tiny: ToonCrafter, monkeypatch: pytest.MonkeyPatch, free: int
) -> None:
    ran = list[str]()
    monkeypatch.setattr(film, "free_bytes", lambda device: free)
    monkeypatch.setattr(film, "contexts_of", lambda *_: ran.append("contexts"))
    with pytest.raises(ValueError, match=r"64 x 48 .* needs more memory than there is: (sampling|encoding|decoding)"):
        interpolate(tiny, torch.rand(2, 3, 8, 8), Settings(width=64, height=48, steps=1))
    assert not ran


def test_the_command_refuses(tiny_files: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """As much as no computer has."""
    picture = str(Path(__file__).resolve().parents[2] / "assets" / "keyframes" / "first.png")
    arguments = [picture, picture, "-c", str(tiny_files[0]), "-o", str(tmp_path / "out"), "--device", "cpu"]
    assert main(["interpolate", *arguments, "--width", "16384", "--height", "16384", "--frames", "226"]) == 2
    said = capsys.readouterr().err
    assert "16384 x 16384" in said and "would fit" in said
