"""Models for the tests of the core: a small random one, and the published implementation's own small one."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from golden import Sizes, with_true_heads
from random_checkpoint import MODEL, SKETCH, random_tensors, write_random_checkpoints
from safetensors.torch import load_file
from torch import Tensor

from tooncrafter_core import ToonCrafter, read_checkpoint
from tooncrafter_core.files.checkpoint import Checkpoint
from tooncrafter_core.models.layers import Layers

ROOT = Path(__file__).resolve().parents[2]
REFERENCE = ROOT.parent / "shared" / "reference"


def existing(path: Path) -> Path:
    """The path, or the test is skipped."""
    if not path.exists():
        pytest.skip(f"{path} is not on this machine; set TOONCRAFTER_GOLDEN to golden vectors elsewhere")
    return path


@pytest.fixture(scope="session", autouse=True)
def one_thread() -> Iterator[None]:
    """The models are small: threads would gain little, and on a busy machine wait for one another most of the time."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(autouse=True)
def no_gradients() -> Iterator[None]:
    with torch.no_grad():
        yield


@pytest.fixture(scope="session")
def reference() -> Path:
    """Folder with the manifests of the published files."""
    return existing(REFERENCE)


@pytest.fixture(scope="session")
def default_golden() -> Path:
    """The golden folder whose sizes follow the rule by which heads are guessed."""
    return existing(REFERENCE / "golden" / "small")


@pytest.fixture(scope="session")
def golden() -> Path:
    """Folder with a small model, its sizes, and what the published implementation computes with it."""
    return existing(Path(os.environ.get("TOONCRAFTER_GOLDEN") or REFERENCE / "golden" / "small"))


@pytest.fixture(scope="session")
def sizes(golden: Path) -> Sizes:
    return json.loads((golden / "config.json").read_text())


@pytest.fixture(scope="session")
def vectors(golden: Path) -> dict[str, Tensor]:
    return load_file(golden / "vectors.safetensors")


@pytest.fixture(scope="session")
def models(golden: Path, sizes: Sizes) -> ToonCrafter:
    """The golden models in float32, built with the head counts of config.json."""
    model, sketch = (
        with_heads(read_checkpoint(golden / name), sizes) for name in ("model.ckpt", "sketch_encoder.ckpt")
    )
    parts = {part: built(model, part) for part in model.parts}
    return ToonCrafter(**parts, sketch_encoder=built(sketch, "sketch"))  # type: ignore[arg-type]


def with_heads(checkpoint: Checkpoint, sizes: Sizes) -> Checkpoint:
    return replace(checkpoint, config=with_true_heads(checkpoint.config, sizes))


def built(checkpoint: Checkpoint, part: str) -> torch.nn.Module:
    model = checkpoint.build(part, Layers(dtype=torch.float32))
    model.load_state_dict(checkpoint.part(part))
    return model.eval().requires_grad_(False)


@pytest.fixture(scope="session")
def tiny_files(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A complete random checkpoint and its sketch encoder."""
    return write_random_checkpoints(tmp_path_factory.mktemp("checkpoints"))


@pytest.fixture(scope="session")
def tiny_tensors() -> dict[str, Tensor]:
    """The tensors of the random checkpoint by published name; not to be changed."""
    return random_tensors(MODEL)


@pytest.fixture(scope="session")
def sketch_tensors() -> dict[str, Tensor]:
    """The tensors of its sketch encoder; not to be changed."""
    return random_tensors(SKETCH, seed=1)


@pytest.fixture(scope="session")
def tiny(tiny_files: tuple[Path, Path]) -> ToonCrafter:
    """The random models in float32."""
    return ToonCrafter.load(*tiny_files)
