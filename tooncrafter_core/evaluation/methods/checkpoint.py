"""In-betweens by a checkpoint of this project's own kind."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from ..report.store import Renders
from ..report.subject import Subject
from ..report.windows import Window, as_bytes, as_float, digest
from .gap import Gap


@dataclass(frozen=True)
class CheckpointMethod:
    """A model that draws from the keyframes, the prompt and the frame rate.

    Attributes:
        subject: the model and its settings.
        renders: frames of before, so that a comparison that was broken off goes on where it stopped.
        seed: the noise of a clip comes from this and the clip's name.
    """

    subject: Subject
    renders: Renders
    seed: int

    def __call__(self, gap: Gap) -> Tensor:
        window = Window(
            name=gap.clip,
            source=gap.clip,
            caption=gap.prompt,
            fps=gap.fps,
            motion=0.0,
            seed=int(digest(self.seed, gap.clip)[:8], 16),
            video=as_bytes(torch.stack([gap.first] * (gap.frames - 1) + [gap.last])),
        )
        key = digest("drawn", self.subject.identity, window.identity)
        return as_float(self.renders.get(key, lambda: self.subject.draw(window)))
