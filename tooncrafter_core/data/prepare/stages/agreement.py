"""How well a caption fits: the cosine between CLIP's embeddings of it and of the middle picture."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import cast

import torch

from ..settings import Agreement
from ..store import Result
from ..views import Views
from .clip_model import ClipModel


def measurer(settings: Agreement, device: torch.device) -> Callable[[Views, dict[str, Result]], Result]:
    """What measures one stretch that has a caption: `agreement`, -1 to 1.

    Raises:
        ValueError: the model's folder cannot be used.
    """
    clip = ClipModel(cast(Path, settings.clip), device)  # without it there is no such stage

    def measure(views: Views, earlier: dict[str, Result]) -> Result:
        middle = views.pictures[len(views.pictures) // 2][None]
        cosine = clip.pictures(middle)[0] @ clip.text(earlier["captions"]["caption"])
        return {"agreement": round(float(cosine), 5)}

    return measure


def fault(result: Result, settings: Agreement) -> str | None:
    """`caption does not fit` or None."""
    return "caption does not fit" if result["agreement"] < settings.least else None
