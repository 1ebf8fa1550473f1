"""Damaged, odd and malicious weight files are refused with a message, or read to exactly what they hold."""

from __future__ import annotations

import json
import subprocess
import sys
import warnings
import zipfile
from pathlib import Path

import pytest
import torch
from damaged_files import NAMES, SMALLEST, DamagedFile, all_damaged, bombs, rewritten, saved
from perceptual_files import blurred_alex
from random_checkpoint import random_tensors
from torch import Tensor

from tooncrafter_core import CheckpointError, read_checkpoint
from tooncrafter_core.files.weight_file import read_weight_file
from tooncrafter_core.training.losses.perceptual import load_perceptual

SECONDS = 2
"""Of one core, for one bomb."""

GIB = 2**30

IN_BOUNDED_MEMORY = """
import json, resource, sys, time
from pathlib import Path
from tooncrafter_core import CheckpointError, read_checkpoint

used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (used + int(sys.argv[1]),) * 2)
for name in sys.argv[2:]:
    started = time.process_time()
    try:
        read_checkpoint(name)
        said = "read"
    except CheckpointError as error:
        said = f"CheckpointError: {error}"
    except BaseException as error:
        said = f"raised {type(error).__name__}: {error}"[:300]
    sys.stdout.write(json.dumps([said, time.process_time() - started]) + "\\n")
"""


@pytest.fixture(scope="module")
def tensors() -> dict[str, Tensor]:
    return random_tensors(SMALLEST)


@pytest.fixture(scope="module")
def files(tensors: dict[str, Tensor]) -> list[DamagedFile]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # PyTorch's, of its quantised and sparse tensors
        return list(all_damaged(tensors))


def outcome(file: DamagedFile, folder: Path) -> str | None:
    """What is wrong with how a file is taken, or None."""
    path = folder / file.name
    path.unlink(missing_ok=True)  # a new file: the last one may still be mapped
    path.write_bytes(file.data)
    try:
        found = dict(read_checkpoint(path).tensors)
    except CheckpointError as error:
        told = file.name in str(error) and "use a" in str(error).lower() and len(str(error)) < 3000
        return None if file.outcome != "read" and told else f"refused: {error}"
    except (MemoryError, Exception) as error:  # noqa: BLE001 - this is what must not happen
        return f"{type(error).__name__}: {error}"
    if file.outcome == "refused":
        return "read"
    wrong = [name for name in file.tensors.keys() | found.keys() if not _equal(found.get(name), file.tensors.get(name))]
    return f"wrong: {wrong[:3]}" if wrong else None


def _equal(a: Tensor | None, b: Tensor | None) -> bool:
    """Bit for bit, so that NaN equals NaN."""
    if a is None or b is None or a.dtype != b.dtype or a.shape != b.shape:
        return False
    return torch.equal(a.contiguous().flatten().view(torch.uint8), b.contiguous().flatten().view(torch.uint8))


def test_each_is_refused_or_read_exactly(files: list[DamagedFile], tmp_path: Path) -> None:
    assert len(files) >= 500
    outcomes = [(file.kind, outcome(file, tmp_path)) for file in files]
    assert [(kind, said) for kind, said in outcomes if said] == []


def test_the_plain_reader_says_it_too(files: list[DamagedFile], tmp_path: Path) -> None:
    """What training reads with, which knows no names: it refuses, or gives tensors that exist."""
    refused = 0
    for file in files[::4]:
        path = tmp_path / file.name
        path.unlink(missing_ok=True)
        path.write_bytes(file.data)
        try:
            assert all(
                tensor.numel() * tensor.element_size() <= len(file.data) for tensor in read_weight_file(path).values()
            )
        except CheckpointError:
            refused += 1
    assert 0 < refused < len(files[::4])


@pytest.mark.parametrize("form", ["zip", "legacy"])
def test_damaged_perceptual_weights(form: str, tmp_path: Path) -> None:
    data = saved(blurred_alex(), form)
    loaded = 0
    for place in range(0, len(data), len(data) // 60):
        path = tmp_path / f"{place}.pth"
        path.write_bytes(data[:place] + bytes([data[place] ^ 1]) + data[place + 1 :])
        try:
            load_perceptual(path)
            loaded += 1
        except ValueError as error:
            assert path.name in str(error)
    assert loaded > 30, "most flips are inside tensors"


def test_a_compressed_file_is_read_whole(tiny_tensors: dict[str, Tensor], tmp_path: Path) -> None:
    """As the complete file is wrapped."""
    (tmp_path / "model.ckpt").write_bytes(rewritten(saved({"state_dict": tiny_tensors}, "zip"), zipfile.ZIP_DEFLATED))
    found = read_checkpoint(tmp_path / "model.ckpt").tensors
    assert found.keys() == tiny_tensors.keys()
    assert all(torch.equal(found[name], tensor) for name, tensor in tiny_tensors.items())


@pytest.mark.skipif(sys.platform != "linux", reason="bounds the memory of a process by what /proc says it has")
def test_bombs(tmp_path: Path) -> None:
    """1 GiB of memory beyond what the program has, and seconds."""
    kinds, paths = [], []
    for at, (kind, name, data) in enumerate(bombs()):
        kinds.append(f"{kind}, {name}")
        paths.append(tmp_path / f"{at}_{name}")
        paths[-1].write_bytes(data)
    run = [sys.executable, "-c", IN_BOUNDED_MEMORY, str(GIB), *map(str, paths)]
    done = subprocess.run(run, cwd=Path(__file__).parents[3], capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    said = dict(zip(kinds, map(json.loads, done.stdout.splitlines()), strict=True))
    assert {kind: text for kind, (text, _) in said.items() if not text.startswith("CheckpointError")} == {}
    assert {kind: seconds for kind, (_, seconds) in said.items() if seconds > SECONDS} == {}
    assert "free" not in "".join(text for text, _ in said.values()), "refused only for want of memory"
    assert set(NAMES.values()) == {kind.split(", ")[1] for kind in kinds}
