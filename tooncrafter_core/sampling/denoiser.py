"""The guided denoiser that the sampler calls: all segments, conditional and unconditional passes, sketches."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from einops import rearrange
from torch import Tensor

from ..models.unet.context import CrossContext
from ..models.unet.sketch_encoder import SketchEncoder
from ..models.unet.unet import UNet
from .guidance import EVERYWHERE, Interval, guide


@dataclass(frozen=True)
class GuidedDenoiser:
    """`denoiser(z, t) -> v` of one segment, with z and v (1, c, t, h, w).

    Attributes:
        unet: the U-Net.
        condition: keyframe condition channels (1, c, t, h, w), scaled.
        contexts: what to run one after the other: [conditional] without guidance, [conditional, unconditional], or
            [both joined] for one pass of batch 2.
        frame_rate: frames per second the model is told.
        guidance_scale: see `guidance.guide`.
        guidance_rescale: see `guidance.guide`.
        sketch_encoder: needed with hints.
        hints: sketches (1, 1, t, 8 h, 8 w), white on black, on any device.
        sketch_strength: factor on the sketch encoder's outputs, or one for each frame (1, t).
        guided: where guidance counts; elsewhere only the conditional pass runs.
    """

    unet: UNet
    condition: Tensor
    contexts: list[CrossContext]
    frame_rate: int
    guidance_scale: float
    guidance_rescale: float
    sketch_encoder: SketchEncoder | None = None
    hints: Tensor | None = None
    sketch_strength: float | Tensor = 1.0
    guided: Interval = EVERYWHERE

    def __call__(self, z: Tensor, t: int) -> Tensor:
        contexts = self.contexts if self.guided.holds(t) else [self.contexts[0].first()]
        predictions = torch.cat([self._pass(z, t, context) for context in contexts]).float()
        if len(predictions) == 1:
            return predictions
        return guide(predictions[:1], predictions[1:], self.guidance_scale, self.guidance_rescale)

    def _pass(self, z: Tensor, t: int, context: CrossContext) -> Tensor:
        """v with as many rows as the context has."""
        rows = len(context.text)
        condition = self.condition.expand(rows, -1, -1, -1, -1)
        noisy = z.to(condition.dtype).expand_as(condition)
        timesteps = torch.full((rows,), t, device=z.device)
        rates = torch.full((rows,), self.frame_rate, device=z.device)
        controls = None
        if self.sketch_encoder is not None and self.hints is not None:
            hint = self.hints.to(noisy).expand(rows, -1, -1, -1, -1)
            strength = self.sketch_strength
            if isinstance(strength, Tensor):
                strength = strength.expand(rows, -1)
            controls = self.sketch_encoder(noisy, hint, timesteps, context, strength)
        return self.unet(torch.cat([noisy, condition], dim=1), timesteps, rates, context, controls)


@dataclass(frozen=True)
class SegmentsDenoiser:
    """`denoiser(z, t) -> v` for `ddim`, with z and v (T, c, h, w): the frames of all segments, of any lengths.

    Segments run one after the other, so that memory does not grow with their number.
    """

    segments: Sequence[GuidedDenoiser]

    def __call__(self, z: Tensor, t: int) -> Tensor:
        rows = z.split([segment.condition.shape[2] for segment in self.segments])
        return torch.cat([_predicted(*parts, t) for parts in zip(self.segments, rows, strict=True)])


def _predicted(segment: GuidedDenoiser, rows: Tensor, t: int) -> Tensor:
    v = segment(rearrange(rows, "t c h w -> 1 c t h w"), t)
    return rearrange(v, "1 c t h w -> t c h w")
