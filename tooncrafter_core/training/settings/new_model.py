"""Sizes of a model that a training makes anew."""

from __future__ import annotations

from operator import attrgetter

from pydantic import BaseModel, model_validator

from ...files.tokenizer import CONTEXT_LENGTH, VOCABULARY
from ...models.config import AutoencoderConfig, ProjectorConfig, TextConfig, UNetConfig, VisionConfig

_SIZES_THAT_FIT = (
    ("unet.out_channels", 1, "autoencoder.latent_channels"),
    ("unet.in_channels", 2, "autoencoder.latent_channels"),
    ("projector.output_dim", 1, "unet.context_dim"),
    ("text.width", 1, "unet.context_dim"),
    ("projector.input_dim", 1, "vision.width"),
)
"""Sizes of one part of a model, each this many times a size of another part."""


class NewModel(BaseModel, frozen=True, extra="forbid", strict=True):
    """Sizes of a new model; its decoder is the plain one until the decoder's training."""

    unet: UNetConfig
    autoencoder: AutoencoderConfig
    projector: ProjectorConfig
    text: TextConfig
    vision: VisionConfig

    @model_validator(mode="after")
    def _parts_fit(self) -> NewModel:
        for size, expected in (("vocabulary", VOCABULARY), ("context_length", CONTEXT_LENGTH)):
            if getattr(self.text, size) != expected:
                raise ValueError(f"text.{size} is {getattr(self.text, size)}; expected {expected}, the tokenizer's")
        for name, times, other in _SIZES_THAT_FIT:
            size, expected = attrgetter(name)(self), times * attrgetter(other)(self)
            if size != expected:
                raise ValueError(f"{name} is {size}; expected {expected}, for {other} is {expected // times}")
        return self
