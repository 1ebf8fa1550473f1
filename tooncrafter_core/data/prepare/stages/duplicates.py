"""Near-duplicates: stretches whose perceptual hashes differ in few bits."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch
from PIL import Image

from ..settings import Duplicates
from ..store import Result
from ..views import Views


def measurer(settings: Duplicates, device: torch.device) -> Callable[[Views, dict[str, Result]], Result]:
    """What hashes one stretch: `hash`, 192 bits as hexadecimal digits (`imagehash.phash` of three pictures)."""
    from imagehash import phash

    def measure(views: Views, _: dict[str, Result]) -> Result:
        return {"hash": "".join(str(phash(Image.fromarray(picture))) for picture in views.pictures)}

    return measure


def fault(result: Result, settings: Duplicates) -> None:
    """Nothing falls by its own hash; see `keep`."""


def keep(hashes: Sequence[str], distance: int) -> list[tuple[int, bool]]:
    """[bits in which the nearest kept one before it differs, whether it is kept] of each, in their order.

    The first has no other before it and gets the number of all bits.
    """
    bits = np.array([list(bytes.fromhex(text)) for text in hashes], np.uint8)
    ones = np.unpackbits(np.arange(256, dtype=np.uint8)[:, None], axis=1).sum(axis=1)
    kept = np.zeros(len(hashes), bool)
    walked = []
    for index in range(len(hashes)):
        earlier = bits[:index][kept[:index]]
        nearest = int(ones[earlier ^ bits[index]].sum(axis=1).min()) if len(earlier) else 4 * len(hashes[index])
        kept[index] = nearest > distance
        walked.append((nearest, bool(kept[index])))
    return walked
