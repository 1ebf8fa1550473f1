"""The archive that trains elsewhere: what is in it, that it fits, and that its trainings go on call by call."""

from __future__ import annotations

import json
import tarfile
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from small_training import Workshop
from train import train_bundle

from tooncrafter_core.data import bundle
from tooncrafter_core.training.clips.manifest import Clip, read_manifest, write_manifest
from tooncrafter_core.training.settings.run import read_settings


@pytest.fixture
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A data set of three clips of two characters and one of the film, beside weights of no size."""
    folder = tmp_path / "set"
    (folder / "clips").mkdir(parents=True)
    (folder / "perceptual").mkdir()
    (folder / "perceptual" / "alex_shift_tolerant.pth").write_bytes(b"p" * 100)
    clips = []
    for name, source, domain in (("a-0", "a", "toon"), ("a-1", "a", "toon"), ("b-0", "b", "toon"), ("f", "f", "film")):
        path = folder / "clips" / f"{name}.mp4"
        path.write_bytes(b"c" * 1000)
        clips.append(Clip(path, 24.0, "", "train", source, domain, 1.0))
    write_manifest(folder / "manifest.jsonl", clips)
    monkeypatch.setattr(bundle, "_TINY", tmp_path / "none")
    return folder


def names_in(archive: Path) -> set[str]:
    with tarfile.open(archive) as tar:
        return set(tar.getnames())


def test_clips_go_along_as_far_as_they_fit(data: Path, tmp_path: Path) -> None:
    bundle.pack(tmp_path / "all.tar", data, bundle.LIMIT)
    names = names_in(tmp_path / "all.tar")
    assert {"bundle/train_bundle.py", "bundle/perceptual.pth", "bundle/tooncrafter_core/pipeline.py"} <= names
    assert {f"bundle/set/clips/{name}.mp4" for name in ("a-0", "a-1", "b-0")} <= names
    assert "bundle/set/clips/f.mp4" not in names
    with tarfile.open(tmp_path / "all.tar") as tar:
        tar.extractall(tmp_path / "there", filter="data")
    there = read_manifest(tmp_path / "there" / "bundle" / "set" / "packed.jsonl")
    assert len(there) == 3 and all(clip.path.read_bytes() == b"c" * 1000 for clip in there)

    without = sum(bundle._size(file) for file, _ in bundle._files(data)) + bundle._ROOM_FOR_LIST + bundle._END
    bundle.pack(tmp_path / "two.tar", data, without + 2 * 1536)
    assert {n for n in names_in(tmp_path / "two.tar") if n.endswith(".mp4")} == {
        "bundle/set/clips/a-0.mp4",
        "bundle/set/clips/b-0.mp4",
    }, "one of each source comes first"
    assert (tmp_path / "two.tar").stat().st_size <= without + 2 * 1536
    with pytest.raises(ValueError, match="too many"):
        bundle.pack(tmp_path / "none.tar", data, without - 1)


@pytest.fixture
def stages(workshop: Workshop, tmp_path: Path) -> Iterator[list[tuple[str, str]]]:
    found = []
    for name in ("autoencoder", "base"):
        entries = workshop.entries(name, tmp_path / name, steps=2)
        (tmp_path / f"{name}.json").write_text(json.dumps(entries))
        found.append((name, f"{name}.json"))
    yield found


def test_each_call_goes_on(stages: list[tuple[str, str]], tmp_path: Path) -> None:
    """A call without time takes one step; one that ends a training begins the next."""
    with torch.enable_grad():
        assert [train_bundle.train(tmp_path, stages, end=0.0) for _ in range(4)] == [False, False, True, True]
    assert all((tmp_path / name / "model.safetensors").exists() for name, _ in stages)


@pytest.mark.parametrize(("name", "file"), train_bundle.STAGES)
def test_its_settings_can_be_read(name: str, file: str, tmp_path: Path) -> None:
    """The files they name are those that the archive holds, or that an earlier training has written."""
    entries = json.loads(
        (Path(bundle.__file__).parents[2] / "assets/tooncrafter-tiny/recipe/bundle" / file).read_text()
    )
    (tmp_path / "recipe").mkdir()
    for key in ("start", "begin", "clips"):
        if key in entries:
            path = tmp_path / "recipe" / entries[key]
            path.parent.mkdir(parents=True, exist_ok=True)
            path.touch()
    (tmp_path / "perceptual.pth").touch()
    (tmp_path / "recipe" / file).write_text(json.dumps(entries))
    read_settings(train_bundle.TRAININGS[name].settings, tmp_path / "recipe" / file)
