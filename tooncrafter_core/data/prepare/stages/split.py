"""Which films are held out of training."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable

from ..film import Film
from ..settings import Split


def held_out(films: Iterable[Film], settings: Split) -> set[str]:
    """Digests of the films that no training sees: a share of all, chosen by their content and the seed.

    The order in which they are given changes nothing; one more film changes the choice of one other at most.
    """
    digests = sorted({film.digest for film in films}, key=lambda digest: _lot(settings.seed, digest))
    return set(digests[: round(settings.held_out * len(digests))])


def _lot(seed: int, digest: str) -> str:
    return hashlib.sha256(f"{seed} {digest}".encode()).hexdigest()
