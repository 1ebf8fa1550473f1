"""Models for the tests of the core: a small random one, and the golden ones."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from golden import sets
from golden.sets import GoldenSet
from random_checkpoint import MODEL, SKETCH, random_tensors, write_random_checkpoints
from torch import Tensor

from tooncrafter_core import ToonCrafter

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
def again_one_thread() -> Iterator[None]:
    """Commands set the number of theirs, with which random models of a few pixels draw other pictures."""
    yield
    torch.set_num_threads(1)


@pytest.fixture(autouse=True)
def no_gradients() -> Iterator[None]:
    with torch.no_grad():
        yield


@pytest.fixture(scope="session")
def reference() -> Path:
    """Folder with the manifests of the published files."""
    return existing(REFERENCE)


@pytest.fixture(scope="session", params=["frozen", "published"])
def golden(request: pytest.FixtureRequest) -> GoldenSet:
    """A small model, its sizes, and what the published implementation computes with it: each test sees both sets."""
    if request.param == "frozen":
        return sets.frozen()
    return sets.published(existing(Path(os.environ.get("TOONCRAFTER_GOLDEN") or REFERENCE / "golden" / "small")))


@pytest.fixture(scope="session")
def vectors(golden: GoldenSet) -> dict[str, Tensor]:
    return golden.vectors


@pytest.fixture(scope="session")
def models(golden: GoldenSet) -> ToonCrafter:
    """The golden models in float32, built with the head counts of config.json."""
    return golden.models()


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
    """The random models, with their weights in float32 all the time."""
    model = ToonCrafter.load(*tiny_files, dtype=torch.float32)
    for part in (model.unet, model.autoencoder, model.projector, model.text, model.vision, model.sketch_encoder):
        part.float()
    return model
