"""Kept segments: what is in them, when they are used again, and how samples are drawn from them."""

from __future__ import annotations

import logging
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from shutil import copytree
from typing import Any

import pytest
import torch
from accelerate import Accelerator
from perceptual_files import save
from random_checkpoint import random_tensors
from safetensors.torch import load_file
from small_training import FRAMES, MODEL, SIDE, Workshop

from tooncrafter_core import ToonCrafter, read_checkpoint
from tooncrafter_core.files.checkpoint import Checkpoint
from tooncrafter_core.files.tokenizer import tokenize
from tooncrafter_core.models.clip.vision_tower import preprocess
from tooncrafter_core.models.config import LATENT_SCALE
from tooncrafter_core.sketches.anime2sketch import Anime2SketchLines
from tooncrafter_core.sketches.lines import extract_lines, load_line_extractor
from tooncrafter_core.training.clips import cache
from tooncrafter_core.training.clips.cache import CachedSegments, Segments, cached_segments, collate_segments
from tooncrafter_core.training.clips.draws import Draws
from tooncrafter_core.training.clips.manifest import Clip, read_manifest, write_manifest
from tooncrafter_core.training.settings.tasks import SketchSettings
from tooncrafter_core.training.tasks.autoencoder import clip_stream

Keep = Callable[..., Segments]


@pytest.fixture(scope="module")
def start(workshop: Workshop) -> Checkpoint:
    return read_checkpoint(workshop.start)


@pytest.fixture(scope="module")
def once(workshop: Workshop, start: Checkpoint, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the segments that `keep` keeps without changes."""
    folder = tmp_path_factory.mktemp("once")
    with torch.no_grad():
        kept_segments(workshop.settings("sketch", folder), start)
    return folder


@pytest.fixture
def keep(workshop: Workshop, start: Checkpoint, once: Path, tmp_path: Path) -> Keep:
    """Kept segments with changed settings, all in one folder, in which those without changes are already."""
    copytree(once / "cache", tmp_path / "cache")

    def make(start: Checkpoint = start, **changes: Any) -> Segments:
        return kept_segments(workshop.settings("sketch", tmp_path, **changes), start)

    return make


def kept_segments(settings: SketchSettings, start: Checkpoint) -> Segments:
    draws = Draws(clip_stream(settings, settings.frames, 1))
    return cached_segments(settings, start, draws, Accelerator(cpu=True), load_line_extractor(settings.lines))


def files(folder: Path) -> set[Path]:
    return {*(folder / "cache").iterdir()}


def test_the_same_segments_are_computed_once(keep: Keep, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (written,) = files(tmp_path)
    assert written.name.startswith("segments-") and written.suffix == ".safetensors"
    monkeypatch.setattr(cache, "_compute", lambda *inputs: pytest.fail("computed again"))
    first = keep()
    again = keep(batch=2, learning_rate=1.0, workers=1, steps=9)
    assert files(tmp_path) == {written}
    assert all(torch.equal(a, b) for a, b in zip(first, again, strict=True))


def test_damaged_segments_are_refused(keep: Keep, tmp_path: Path) -> None:
    (written,) = files(tmp_path)
    written.write_bytes(written.read_bytes()[:-9])
    with pytest.raises(ValueError, match=rf"{written.name} is damaged .* take it away"):
        keep()


def test_clips_in_several_files_are_the_same_segments(keep: Keep, workshop: Workshop, tmp_path: Path) -> None:
    """And each draw is of the same clip."""
    lines = workshop.clips.read_text().splitlines(keepends=True)
    shards = [tmp_path / f"{n}.jsonl" for n in range(len(lines))]
    for shard, line in zip(shards, lines, strict=True):
        shard.write_text(line)
    keep(clips=shards)
    assert len(files(tmp_path)) == 1
    whole, divided = (
        clip_stream(workshop.settings("sketch", tmp_path, clips=c), 2, 1).clips for c in (workshop.clips, shards)
    )
    assert [clip.caption for clip in divided] == [clip.caption for clip in whole]


@dataclass(frozen=True)
class OneOfTwo:
    """What `cached_segments` asks an accelerator for; its other process has come first."""

    process_index: int
    num_processes: int = 2
    device: str = "cpu"
    autocast: Callable[[], AbstractContextManager[None]] = nullcontext

    @property
    def is_main_process(self) -> bool:
        return self.process_index == 0

    def wait_for_everyone(self) -> None:
        pass


def test_two_processes_compute_what_one_does(workshop: Workshop, start: Checkpoint, tmp_path: Path) -> None:
    """Each its share: of two and a half batches two, and one. One that is there already is not computed again."""

    def compute(name: str, accelerator: Any) -> Segments:
        settings = workshop.settings("sketch", tmp_path / name, segments=10)
        draws = Draws(clip_stream(settings, settings.frames, 1))
        return cached_segments(settings, start, draws, accelerator, load_line_extractor(None))

    whole = compute("one", Accelerator(cpu=True))
    with pytest.raises(FileNotFoundError):  # the first process joins the shares
        compute("two", OneOfTwo(1))
    (share,) = files(tmp_path / "two")
    assert len(load_file(share)["latents"]) == 4
    written = share.stat().st_ino
    with pytest.raises(FileNotFoundError):
        compute("two", OneOfTwo(1))
    assert share.stat().st_ino == written
    joined = compute("two", OneOfTwo(0))
    assert all(torch.equal(a, b) for a, b in zip(whole, joined, strict=True))
    assert {file.name for file in files(tmp_path / "one")} == {file.name for file in files(tmp_path / "two")}


def changed(start: Checkpoint, name: str) -> Checkpoint:
    return replace(start, tensors={**start.tensors, name: start.tensors[name] + 1})


@pytest.mark.parametrize(
    "changes",
    [
        {"width": SIDE + 8},
        {"height": SIDE + 8},
        {"frames": 3},
        {"strides": [1]},
        {"segments": 3},
        {"seed": 4},
        {"domains": ["film"]},
    ],
    ids=str,
)
def test_other_draws_are_other_segments(changes: dict[str, Any], keep: Keep, tmp_path: Path) -> None:
    other = keep(**changes)
    assert len(files(tmp_path)) == 2
    assert other.latents.shape == (
        changes.get("segments", 4),
        4,
        changes.get("frames", FRAMES),
        changes.get("height", SIDE) // 8,
        changes.get("width", SIDE) // 8,
    )


def test_other_clips_are_other_segments(keep: Keep, workshop: Workshop, tmp_path: Path) -> None:
    clips = tmp_path / "clips.jsonl"
    write_manifest(clips, [replace(clip, caption="other words") for clip in read_manifest(workshop.clips)])
    keep(clips=clips)
    assert len(files(tmp_path)) == 2


@pytest.mark.parametrize(
    ("name", "matters"),
    [
        ("first_stage_model.encoder.conv_in.weight", True),
        ("first_stage_model.quant_conv.bias", True),
        ("cond_stage_model.model.ln_final.weight", True),
        ("embedder.model.visual.conv1.weight", True),
        ("first_stage_model.decoder.conv_in.weight", False),
        ("model.diffusion_model.out.2.weight", False),
        ("image_proj_model.latents", False),
    ],
)
def test_other_weights(name: str, matters: bool, keep: Keep, start: Checkpoint, tmp_path: Path) -> None:
    """Only those of the frozen models count."""
    keep(changed(start, name))
    assert len(files(tmp_path)) == (2 if matters else 1)


def test_other_line_drawings(keep: Keep, workshop: Workshop, start: Checkpoint, tmp_path: Path) -> None:
    built_in = keep()
    drawn = []
    for seed in range(2):
        torch.manual_seed(seed)
        weights = save(tmp_path / f"{seed}.pth", Anime2SketchLines((4, 4, 4)).state_dict())
        drawn.append(keep(lines=weights).lines)
    assert not torch.equal(drawn[0], built_in.lines) and not torch.equal(*drawn)
    without = workshop.settings("base", tmp_path)
    cached_segments(without, start, Draws(clip_stream(without, FRAMES, 1)), Accelerator(cpu=True))
    assert len(files(tmp_path)) == 4


def test_a_published_file_can_be_the_start(tmp_path: Path, keep: Keep) -> None:
    """With half precision, a pickle's memory map, and tensors of no dimension."""
    torch.save({"state_dict": random_tensors(MODEL)}, tmp_path / "model.ckpt")
    read = read_checkpoint(tmp_path / "model.ckpt")
    assert any(tensor.ndim == 0 for tensor in read.tensors.values())
    assert keep(read).latents.isfinite().all()


def test_kept_segments_are_what_the_pipeline_would_compute(keep: Keep, workshop: Workshop, tmp_path: Path) -> None:
    kept = keep(segments=10)
    settings = workshop.settings("sketch", tmp_path)
    model = ToonCrafter.load(workshop.start)
    stream = clip_stream(settings, FRAMES, 1)
    for row in range(10):
        sample = stream[row]
        pictures = sample.video.float() / 255
        encoded = model.autoencoder.encode_keyframes(pictures * 2 - 1).latents * LATENT_SCALE
        torch.testing.assert_close(kept.latents[row].float(), encoded.transpose(0, 1), rtol=1e-3, atol=1e-5)
        vision = model.vision(preprocess(pictures[[0, -1]] * 2 - 1, model.vision.config.image_size))
        torch.testing.assert_close(kept.vision[row].float(), vision, rtol=1e-3, atol=1e-4)
        text = model.text(tokenize(sample.caption))[0]
        torch.testing.assert_close(kept.text[row].float(), text, rtol=1e-3, atol=1e-4)
        assert kept.fps[row] == sample.fps
        assert (kept.lines[row, 0].float() - 255 * extract_lines(pictures)[:, 0]).abs().max() < 1
    assert {*kept.fps.tolist()} == {24.0, 12.0}


def test_no_lines_where_they_are_not_needed(workshop: Workshop, start: Checkpoint, tmp_path: Path) -> None:
    settings = workshop.settings("base", tmp_path)
    kept = cached_segments(settings, start, Draws(clip_stream(settings, FRAMES, 1)), Accelerator(cpu=True))
    assert kept.lines.numel() == 4
    batch = collate_segments([CachedSegments(kept, 0, 8)[n] for n in range(3)])
    assert batch.latents.shape == (3, 4, FRAMES, SIDE // 8, SIDE // 8)


def test_clips_that_are_passed_over_are_told(
    workshop: Workshop, start: Checkpoint, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "empty").mkdir()
    clips = [*read_manifest(workshop.clips), Clip(tmp_path / "empty", 24.0, "", "train", "empty", "toon", 1.0)]
    write_manifest(tmp_path / "clips.jsonl", clips)
    settings = workshop.settings("sketch", tmp_path, clips=tmp_path / "clips.jsonl", segments=16)
    draws = Draws(clip_stream(settings, FRAMES, 1))
    skipped = sum(draws[n].skipped for n in range(16))
    with caplog.at_level(logging.WARNING):
        kept_segments(settings, start)
    assert skipped > 0
    assert f"{skipped} unreadable clips were passed over" in caplog.text


def numbered(count: int) -> Segments:
    """Segments in which everything tells its row and its place in time."""
    row = torch.arange(count).float()
    time = torch.arange(4).float() / 10
    over_time = row[:, None] + time
    return Segments(
        latents=over_time[:, None, :, None, None].expand(count, 2, 4, 3, 5).half(),
        vision=over_time[:, [0, -1], None, None].expand(count, 2, 6, 7).half(),
        text=row[:, None, None].expand(count, 77, 3).half(),
        fps=row + 10,
        lines=(10 * over_time)[:, None, :, None, None].expand(count, 1, 4, 24, 40).byte(),
    )


def test_a_draw_is_a_row_forwards_or_backwards() -> None:
    kept = numbered(5)
    draws = CachedSegments(kept, seed=1, draws=200)
    assert len(draws) == 200
    seen = []
    for n in range(200):
        one = draws[n]
        row = int(one.fps) - 10
        backwards = bool(one.latents[0, 0, 0, 0] > one.latents[0, -1, 0, 0])
        times, ends = ([3, 2, 1, 0], [1, 0]) if backwards else ([0, 1, 2, 3], [0, 1])
        assert torch.equal(one.latents, kept.latents[row][:, times])
        assert torch.equal(one.lines, kept.lines[row][:, times])
        assert torch.equal(one.vision, kept.vision[row][ends])
        assert torch.equal(one.text, kept.text[row])
        seen.append((row, backwards))
    assert {*seen} == {(row, backwards) for row in range(5) for backwards in (False, True)}
    assert 70 < sum(backwards for _, backwards in seen) < 130


def test_draws_can_be_repeated() -> None:
    kept = numbered(50)
    found = [float(CachedSegments(kept, 1, 20)[n].latents.sum()) for n in range(20)]
    again = CachedSegments(kept, 1, 30)
    assert [float(again[n].latents.sum()) for n in reversed(range(20))] == found[::-1]
    assert [float(CachedSegments(kept, 2, 20)[n].latents.sum()) for n in range(20)] != found


def test_batches_are_float32() -> None:
    kept = numbered(3)
    batch = collate_segments([kept.row(2), kept.row(0)])
    assert all(field.dtype == torch.float32 for field in batch)
    assert batch.fps.tolist() == [12.0, 10.0]
    assert batch.latents.shape == (2, 2, 4, 3, 5)
    torch.testing.assert_close(batch.lines[0, 0, :, 0, 0], torch.tensor([20.0, 21.0, 22.0, 23.0]) / 255)
    assert batch.skipped == 0
