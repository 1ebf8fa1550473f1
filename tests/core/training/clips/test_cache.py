"""Kept segments: what is in them, when they are used again, and how samples are drawn from them."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from shutil import copytree, ignore_patterns, rmtree
from typing import Any

import pytest
import torch
from accelerate import Accelerator
from perceptual_files import save
from PIL import Image
from random_checkpoint import random_tensors
from small_training import FRAMES, MODEL, SIDE, Workshop

from tooncrafter_core import ToonCrafter, read_checkpoint
from tooncrafter_core.files.checkpoint import Checkpoint
from tooncrafter_core.files.tokenizer import tokenize
from tooncrafter_core.models.clip.vision_tower import preprocess
from tooncrafter_core.models.config import LATENT_SCALE
from tooncrafter_core.sketches.anime2sketch import Anime2SketchLines
from tooncrafter_core.sketches.lines import extract_lines, load_line_extractor
from tooncrafter_core.training.clips import cache
from tooncrafter_core.training.clips.cache import cached_segments
from tooncrafter_core.training.clips.draws import Draws
from tooncrafter_core.training.clips.manifest import Clip, read_manifest, write_manifest
from tooncrafter_core.training.clips.segments import CachedSegments, Segments, collate_segments
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
    return {*(folder / "cache").glob("*.safetensors")}


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
    (tmp_path / "clips").symlink_to(workshop.clips.parent / "clips")
    keep(clips=shards)
    assert len(files(tmp_path)) == 1
    whole, divided = (
        clip_stream(workshop.settings("sketch", tmp_path, clips=c), 2, 1).clips for c in (workshop.clips, shards)
    )
    assert [clip.caption for clip in divided] == [clip.caption for clip in whole]


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


def test_a_moved_folder_finds_its_segments(keep: Keep, workshop: Workshop, tmp_path: Path) -> None:
    copytree(workshop.clips.parent, tmp_path / "moved", ignore=ignore_patterns("*.safetensors"))
    keep(clips=tmp_path / "moved" / workshop.clips.name)
    assert len(files(tmp_path)) == 1


@pytest.mark.parametrize("change", ["another video of this size", "another picture", "a picture fewer", "a clip less"])
def test_the_same_list_beside_other_clips(change: str, keep: Keep, workshop: Workshop, tmp_path: Path) -> None:
    copytree(workshop.clips.parent, tmp_path / "other", ignore=ignore_patterns("*.safetensors"))
    clips = tmp_path / "other" / "clips"
    picture = sorted((clips / "a").iterdir())[-1]
    if change == "another video of this size":
        content = bytearray((clips / "b.mp4").read_bytes())
        content[len(content) // 2] ^= 1
        (clips / "b.mp4").write_bytes(content)
    elif change == "another picture":
        Image.new("RGB", (44, 36), "red").save(picture)
    elif change == "a picture fewer":
        picture.unlink()
    else:
        rmtree(clips / "c")
    keep(clips=tmp_path / "other" / workshop.clips.name)
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
    model = ToonCrafter.load(workshop.start, dtype=torch.float32)
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
