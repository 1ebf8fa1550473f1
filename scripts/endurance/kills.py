"""Writing that is killed at any time: what has the result's name is whole, old or new, and the next run works."""

from __future__ import annotations

import os
import random
import signal
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import torch
from torch import Tensor

from tooncrafter_core.files.media import write_contact_sheet, write_frames
from tooncrafter_core.training.clips.manifest import Clip, write_manifest
from tooncrafter_core.training.run.export import write_checkpoint

Write = Callable[[Path, int], None]
"""Writes a result by its path, another one for each seed."""


def _frames(seed: int) -> Tensor:
    return torch.rand(6, 3, 96, 96, generator=torch.Generator().manual_seed(seed))


def _sequence(path: Path, seed: int) -> None:
    write_frames(_frames(seed), path, 10)


def _sheet(path: Path, seed: int) -> None:
    write_contact_sheet(_frames(seed), path)


def _checkpoint(path: Path, seed: int) -> None:
    write_checkpoint({f"layer_{n}": frame for n, frame in enumerate(_frames(seed))}, path)


def _manifest(path: Path, seed: int) -> None:
    write_manifest(path, [Clip(Path(f"{seed}_{n}.mp4"), 24.0, "", "train", "a", "toon", 1.0) for n in range(2000)])


WRITES: Mapping[str, Write] = {
    "frames.mp4": _sequence,
    "frames.webp": _sequence,
    "frames.gif": _sequence,
    "frames": _sequence,
    "sheet.png": _sheet,
    "model.safetensors": _checkpoint,
    "manifest.jsonl": _manifest,
}
"""Every kind of result, by its file's name."""


def kill_writes(folder: Path, count: int, seed: int) -> Iterator[tuple[str, int, int]]:
    """Kill each kind of write so many times, and write it after each.

    Yields:
        its file's name, how many were killed before they had ended, how many left something that is not whole
    """
    choice = random.Random(seed)
    for name, write in WRITES.items():
        place = folder / name.replace(".", "_")
        killed = broken = 0
        for number in range(count):
            ended, whole = _kill(place, name, write, number, choice.random())
            killed += not ended
            broken += not whole
        yield name, killed, broken


def _kill(folder: Path, name: str, write: Write, seed: int, share: float) -> tuple[bool, bool]:
    """Kill the second of two writes at a share of the first one's time: whether it had ended, whether all is whole."""
    started = time.monotonic()
    write(folder / name, 2 * seed)
    usual = time.monotonic() - started
    old = content(folder / name)
    child = os.fork()
    if child == 0:
        try:
            write(folder / name, 2 * seed + 1)
        finally:
            os._exit(0)
    time.sleep(share * usual)
    os.kill(child, signal.SIGKILL)
    _, status = os.waitpid(child, 0)
    found = content(folder / name) or content(folder / f"replaced-{name}")
    write(folder / name, 2 * seed + 1)
    whole = found in (old, content(folder / name))
    return os.WIFEXITED(status), whole and [path.name for path in folder.iterdir()] == [name]


def content(path: Path) -> dict[str, bytes]:
    """Bytes of a file, or of the files in a folder, by name; nothing where there is none."""
    if path.is_file():
        return {path.name: path.read_bytes()}
    return {file.name: file.read_bytes() for file in sorted(path.iterdir())} if path.is_dir() else {}
