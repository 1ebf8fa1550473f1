"""A caption for a stretch, by an image-to-text model of `transformers` from a local folder."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from PIL import Image

from ..settings import Captions
from ..store import Result
from ..views import Views


def measurer(settings: Captions, device: torch.device) -> Callable[[Views, dict[str, Result]], Result]:
    """What captions one stretch: `caption`, of its middle picture, or the one that the settings have for all.

    The model's likeliest token is taken each time.

    Raises:
        ValueError: the model's folder cannot be used.
    """
    if settings.model is None:
        return lambda views, _: {"caption": settings.text}
    from transformers import AutoModelForImageTextToText, AutoProcessor

    folder = settings.model
    try:
        model: Any = AutoModelForImageTextToText.from_pretrained(folder, local_files_only=True)
        processor = AutoProcessor.from_pretrained(folder, local_files_only=True, use_fast=False)
    except (OSError, ValueError) as error:
        raise ValueError(f"{folder} holds no image-to-text model of transformers: {error}") from error
    model = model.to(device).eval()
    asked = {"text": settings.prompt} if settings.prompt else {}

    @torch.inference_mode()
    def measure(views: Views, _: dict[str, Result]) -> Result:
        picture = Image.fromarray(views.pictures[len(views.pictures) // 2])
        inputs = processor(images=picture, return_tensors="pt", **asked).to(device)
        tokens = model.generate(**inputs, max_new_tokens=settings.longest, do_sample=False, num_beams=1)
        text = processor.batch_decode(tokens, skip_special_tokens=True)[0]
        return {"caption": " ".join(text.removeprefix(settings.prompt).split())}

    return measure


def fault(result: Result, settings: Captions) -> str | None:
    """`no caption` or None."""
    return "no caption" if settings.model and not result["caption"] else None
