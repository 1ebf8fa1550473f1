"""What the tests of the trainings share: small files, made once, and Accelerate without a memory of the test before."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pytest
from accelerate.state import AcceleratorState
from small_training import WIDER, Workshop, make_workshop, write_start


@pytest.fixture(scope="session")
def workshop(tmp_path_factory: pytest.TempPathFactory) -> Workshop:
    return make_workshop(tmp_path_factory.mktemp("workshop"))


@pytest.fixture(scope="session")
def wider(workshop: Workshop, tmp_path_factory: pytest.TempPathFactory) -> Workshop:
    """The same, with random weights of the wider model to start from."""
    start = tmp_path_factory.mktemp("wider") / "start.safetensors"
    write_start(start, WIDER)
    return replace(workshop, start=start)


@pytest.fixture(autouse=True)
def fresh_accelerate(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """On the CPU, whatever this machine has: the tests compare numbers bit for bit."""
    monkeypatch.setenv("ACCELERATE_USE_CPU", "true")
    yield
    AcceleratorState._reset_state(reset_partial_state=True)
