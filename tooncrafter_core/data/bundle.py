"""Packs what trains the small model elsewhere, without a network, into one archive: code, settings, weights, clips.

    python -m tooncrafter_core.data.bundle bundle.tar

There, with the packages of `requirements.txt` and `training.txt`, which are in it:

    tar xf bundle.tar && python bundle/train_bundle.py --minutes 9

Scenes that this project draws are drawn there; of the other clips as many go along as fit.
"""

from __future__ import annotations

import argparse
import logging
import sys
import tarfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from ..inputs import given_path
from ..training.clips.manifest import Clip, read_manifest, write_manifest
from .build import DRAWN

log = logging.getLogger(__name__)

LIMIT = 60_000_000
"""Bytes of the archive at most."""
DOMAINS = ("toon",)
"""Of the clips that go along; those of `DRAWN` are drawn there."""

_ROOT = Path(__file__).resolve().parents[2]
_TINY = _ROOT / "assets" / "tooncrafter-tiny"
_SET = Path("~/.cache/tooncrafter-data/set").expanduser()
_CODE = (".py", ".gz", ".json")
_BLOCK = 512
"""Of a tar archive: a file takes whole ones, and one more for its name."""
_ROOM_FOR_LIST = 1_000_000
_END = 20 * _BLOCK


def main(arguments: list[str] | None = None) -> int:
    """Pack; 2 is returned for a data set that cannot be used."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("archive", type=given_path, help="the .tar to write")
    parser.add_argument("--data", type=given_path, default=_SET, help="folder of the data set (default %(default)s)")
    options = parser.parse_args(arguments)
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    try:
        pack(options.archive, options.data, LIMIT)
    except (ValueError, OSError) as error:
        log.error("%s", error)
        return 2
    log.info("%s: %.1f MB", options.archive, options.archive.stat().st_size / 1e6)
    return 0


def pack(archive: Path, data: Path, limit: int) -> None:
    """Write the archive.

    Raises:
        ValueError: what has to be in it takes more than `limit` bytes.
        FileNotFoundError: the data set is not there.
    """
    files = dict(_files(data))
    listed = read_manifest(data / "manifest.jsonl")
    clips = [clip for clip in listed if clip.domain in DOMAINS and clip.split == "train"]
    room = limit - sum(map(_size, files)) - _ROOM_FOR_LIST - _END
    if room < 0:
        raise ValueError(f"weights and code take {-room} bytes too many; expected {limit} bytes of archive at most")
    chosen = list(_fitting(clips, room))
    drawn = ", ".join(sorted({domain for domain, _ in DRAWN}))
    log.info("%d of %d clips go along; %s are drawn there", len(chosen), len(clips), drawn)
    packed = archive.with_name(archive.name + ".jsonl")
    if chosen:
        write_manifest(packed, [replace(clip, path=packed.parent / "clips" / clip.path.name) for clip in chosen])
        files[packed] = "set/packed.jsonl"
    with tarfile.open(archive, "w") as tar:
        for file, name in files.items():
            tar.add(file, f"bundle/{name}")
        for clip in chosen:
            tar.add(clip.path, f"bundle/set/clips/{clip.path.name}")
    packed.unlink(missing_ok=True)


def _files(data: Path) -> Iterator[tuple[Path, str]]:
    """Files that have to go along, and their names there."""
    for file in sorted((_ROOT / "tooncrafter_core").rglob("*")):
        if file.suffix in _CODE and "__pycache__" not in file.parts:
            yield file, file.relative_to(_ROOT).as_posix()
    for file in sorted((_TINY / "recipe" / "bundle").glob("*.json")):
        yield file, f"recipe/{file.name}"
    for file in sorted(_TINY.glob("*.safetensors")):
        yield file, f"run/first/{file.name}"
    yield data / "perceptual" / "alex_shift_tolerant.pth", "perceptual.pth"
    yield _ROOT / "scripts" / "train" / "train_bundle.py", "train_bundle.py"
    for file in (_ROOT / "requirements.txt", _ROOT / "scripts" / "requirements" / "training.txt"):
        yield file, file.name


def _size(file: Path) -> int:
    """Bytes that a file takes in the archive."""
    return (-(-file.stat().st_size // _BLOCK) + 1) * _BLOCK


def _fitting(clips: list[Clip], room: int) -> Iterator[Clip]:
    """Clips in an order that takes one of each source first, while they fit."""
    seen: dict[str, int] = {}
    rounds = []
    for clip in clips:
        seen[clip.source] = seen.get(clip.source, 0) + 1
        rounds.append(seen[clip.source])
    for _, clip in sorted(zip(rounds, clips, strict=True), key=lambda pair: pair[0]):
        room -= _size(clip.path)
        if room < 0:
            return
        yield clip


if __name__ == "__main__":
    sys.exit(main())
