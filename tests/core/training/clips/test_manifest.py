"""Clip lists: written, read back, and refused with the place of the fault."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from tooncrafter_core.training.clips.manifest import Clip, ManifestError, read_manifest, write_manifest

ROW = {
    "path": "clips/a.mp4",
    "fps": 24,
    "caption": "a red fox",
    "split": "train",
    "source": "fox",
    "domain": "toon",
    "motion": 3.5,
}


def test_a_folder_is_no_list(tmp_path: Path) -> None:
    with pytest.raises(
        ManifestError, match=r"is a folder; expected the file of a clip list, such as .*manifest\.jsonl"
    ):
        read_manifest(tmp_path)


def write_rows(folder: Path, *rows: object) -> Path:
    path = folder / "manifest.jsonl"
    path.write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    return path


def test_paths_are_relative_to_the_list(tmp_path):
    (clip,) = read_manifest(write_rows(tmp_path, ROW))
    assert clip == Clip(tmp_path / "clips/a.mp4", 24.0, "a red fox", "train", "fox", "toon", 3.5)
    assert isinstance(clip.fps, float)


def test_a_written_list_reads_back_and_can_move(tmp_path):
    folder = tmp_path / "set"
    folder.mkdir()
    clips = [
        Clip(folder / "clips" / "füchse", 24.0, "Füchse", "train", "fox", "toon", 0.0),
        Clip(tmp_path / "elsewhere.mp4", 12.5, "", "held_out", "owl", "film", 20.0),
        Clip(folder / "c.mp4", 24.0, "two\u2028lines\x0b in\x85 one", "train", "cat", "toon", 0.0),
    ]
    write_manifest(folder / "manifest.jsonl", clips)
    assert [clip.path.resolve() for clip in read_manifest(folder / "manifest.jsonl")] == [clip.path for clip in clips]
    assert [replace(clip, path=Path()) for clip in read_manifest(folder / "manifest.jsonl")] == [
        replace(clip, path=Path()) for clip in clips
    ]
    moved = folder.rename(tmp_path / "moved")
    assert read_manifest(moved / "manifest.jsonl")[0].path == moved / "clips" / "füchse"


def test_several_files_are_one_list(tmp_path):
    for name in "ab":
        (tmp_path / name).mkdir()
    one, none, other = write_rows(tmp_path / "a", ROW, ROW), write_rows(tmp_path), write_rows(tmp_path / "b", ROW)
    folders = [clip.path.parent.parent for clip in read_manifest(one, none, other)]
    assert folders == [tmp_path / "a", tmp_path / "a", tmp_path / "b"]
    write_rows(tmp_path / "b", {**ROW, "split": "held_out"})
    with pytest.raises(ManifestError, match=r"b/manifest.jsonl, line 1: .* is 'train' in .*a/manifest.jsonl, line 1"):
        read_manifest(one, other)
    with pytest.raises(ManifestError, match=r"manifest.jsonl, .*manifest.jsonl lists no clips"):
        read_manifest(none, none)


@pytest.mark.parametrize("key", sorted(ROW))
def test_a_missing_key_is_named_with_file_and_line(tmp_path, key):
    path = write_rows(tmp_path, ROW, {name: value for name, value in ROW.items() if name != key})
    with pytest.raises(ManifestError, match=rf"manifest.jsonl, line 2: key '{key}' is missing"):
        read_manifest(path)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("path", 3),
        ("path", ""),
        ("fps", "24"),
        ("fps", 0),
        ("fps", True),
        ("fps", float("nan")),
        ("fps", 1e300),
        ("fps", -24),
        ("fps", 10**400),
        ("motion", float("nan")),
        ("motion", 1e300),
        ("path", "a" * 10**6),
        ("path", ["a.mp4"]),
        ("caption", 7),
        ("domain", "toon" * 10**5),
        ("caption", None),
        ("split", "validation"),
        ("source", ""),
        ("domain", "anime"),
        ("motion", -1),
        ("motion", float("inf")),
        ("motion", None),
        ("speed", 3),
    ],
)
def test_a_wrong_value_is_refused(tmp_path, key, value):
    with pytest.raises(ManifestError, match=rf"manifest.jsonl, line 1: key '{key}'") as error:
        read_manifest(write_rows(tmp_path, {**ROW, key: value}))
    assert len(str(error.value)) < 300 + len(str(tmp_path))


@pytest.mark.parametrize("text", ["", "\n \n"])
def test_an_empty_list_is_refused(tmp_path, text):
    path = tmp_path / "manifest.jsonl"
    path.write_text(text)
    with pytest.raises(ManifestError, match="lists no clips"):
        read_manifest(path)


def test_broken_lines_are_refused(tmp_path):
    path = tmp_path / "manifest.jsonl"
    path.write_text(f"{json.dumps(ROW)}\n\n{{broken\n")
    with pytest.raises(ManifestError, match="line 3 is not JSON"):
        read_manifest(path)
    for nonsense in ("[" * 10**5, f'{{"fps": {"9" * 5000}}}'):
        path.write_text(f"{json.dumps(ROW)}\n{nonsense}\n")
        with pytest.raises(ManifestError, match="line 2 is not JSON"):
            read_manifest(path)
    with pytest.raises(ManifestError, match="line 1 is a JSON list"):
        read_manifest(write_rows(tmp_path, [ROW]))
    path.write_bytes(b"\xff\xfe")
    with pytest.raises(ManifestError, match="not UTF-8"):
        read_manifest(path)


@pytest.mark.parametrize("key", ["caption", "path", "source"])
def test_half_of_a_character_is_told_with_its_line(key, tmp_path):
    """Before clips are encoded, which takes hours."""
    with pytest.raises(ManifestError, match=f"line 2: key '{key}' holds half of a character"):
        read_manifest(write_rows(tmp_path, ROW, {**ROW, key: "a \ud800"}))


def test_a_byte_order_mark_is_taken(tmp_path):
    path = write_rows(tmp_path, ROW)
    clips = read_manifest(path)
    path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes())
    assert read_manifest(path) == clips


def test_a_source_belongs_to_one_split(tmp_path):
    path = write_rows(tmp_path, ROW, {**ROW, "path": "b.mp4"}, {**ROW, "split": "held_out"})
    with pytest.raises(ManifestError, match=r"line 3: key 'split'.*'fox' is 'train' in .*line 1"):
        read_manifest(path)


def test_what_could_not_be_read_is_not_written(tmp_path):
    clip = Clip(tmp_path / "a.mp4", 24.0, "", "train", "fox", "toon", 0.0)
    path = tmp_path / "manifest.jsonl"
    for clips in ([], [clip, replace(clip, split="held_out")], [replace(clip, motion=float("nan"))]):
        with pytest.raises(ManifestError):
            write_manifest(path, clips)
    assert not any(tmp_path.iterdir())
