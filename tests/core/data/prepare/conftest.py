"""A film with a shot of every kind; and models' libraries import torchvision, which the tests' torch may not fit."""

from __future__ import annotations

import pytest
from comfy_harness.main import declare_operators
from drawn_film import all_kinds

from tooncrafter_core.data.prepare.film import Film, open_film

declare_operators()


@pytest.fixture(scope="session")
def film(tmp_path_factory: pytest.TempPathFactory) -> Film:
    """See `all_kinds`."""
    return open_film(all_kinds(tmp_path_factory.mktemp("film")))
