"""Prompts and pictures as the tokens that the denoiser attends to."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from ..files.tokenizer import tokenize
from ..models.clip.vision_tower import preprocess
from ..models.unet.context import CrossContext
from ..settings import Settings
from ..toon_crafter import ToonCrafter


def contexts_of(
    model: ToonCrafter, pictures: Mapping[int, Tensor], settings: Settings
) -> tuple[dict[int, CrossContext], CrossContext]:
    """What segments attend to, for the trained number of frames; many keep no keys and values.

    Args:
        model: the text tower, the vision tower and the projector are put to work.
        pictures: each segment's first keyframe (1, 3, H, W) in [0, 1], by number.
        settings: both prompts.

    Returns:
        the conditional tokens of each segment, and the unconditional ones of all

    Raises:
        ValueError: a prompt that is no text.
    """
    size = model.vision.config.image_size
    grey = torch.full((1, 3, size, size), 0.5)
    pixels = [preprocess(picture * 2 - 1, size) for picture in [*pictures.values(), grey]]
    with model.at_work(model.text):
        prompts = [
            model.text(tokenize(prompt).to(model.device)).flatten(0, 1)[None]
            for prompt in (settings.prompt, settings.negative_prompt)
        ]
    with model.at_work(model.vision, model.projector):
        tokens = [model.projector(model.vision(each.to(model.device, model.dtype))) for each in pixels]
    keep = len(pictures) == 1
    contexts = [CrossContext(prompts[0], image, keep) for image in tokens[:-1]]
    return dict(zip(pictures, contexts, strict=True)), CrossContext(prompts[1], tokens[-1])
