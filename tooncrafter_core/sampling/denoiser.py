"""The guided denoiser that the sampler calls: all segments, conditional and unconditional passes, sketches."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from ..models.unet.context import CrossContext
from ..models.unet.sketch_encoder import SketchEncoder
from ..models.unet.unet import UNet
from .guidance import EVERYWHERE, Interval, guide


@dataclass(frozen=True)
class GuidedDenoiser:
    """`denoiser(z, t) -> v` for `ddim`, with z and v (S, c, t, h, w).

    Segments run one after the other, so that memory does not grow with their number.

    Attributes:
        unet: the U-Net.
        condition: keyframe condition channels (S, c, t, h, w), scaled.
        contexts: for each segment, what to run one after the other: [conditional] without guidance,
            [conditional, unconditional], or [both joined] for one pass of batch 2.
        frame_rate: frames per second the model is told.
        guidance_scale: see `guidance.guide`.
        guidance_rescale: see `guidance.guide`.
        sketch_encoder: needed with hints.
        hints: sketches (S, 1, t, 8 h, 8 w), white on black, on any device.
        sketch_strength: factor on the sketch encoder's outputs, or one for each frame (S, t).
        guided: where guidance counts; elsewhere only the conditional pass runs.
    """

    unet: UNet
    condition: Tensor
    contexts: list[list[CrossContext]]
    frame_rate: int
    guidance_scale: float
    guidance_rescale: float
    sketch_encoder: SketchEncoder | None = None
    hints: Tensor | None = None
    sketch_strength: float | Tensor = 1.0
    guided: Interval = EVERYWHERE

    def __call__(self, z: Tensor, t: int) -> Tensor:
        return torch.cat([self._segment(z, t, index) for index in range(len(z))])

    def _segment(self, z: Tensor, t: int, index: int) -> Tensor:
        contexts = self.contexts[index]
        if not self.guided.holds(t):
            contexts = [contexts[0].first()]
        predictions = torch.cat([self._pass(z, t, index, context) for context in contexts]).float()
        if len(predictions) == 1:
            return predictions
        return guide(predictions[:1], predictions[1:], self.guidance_scale, self.guidance_rescale)

    def _pass(self, z: Tensor, t: int, index: int, context: CrossContext) -> Tensor:
        """v of one segment, with as many rows as the context has."""
        segment, rows = slice(index, index + 1), len(context.text)
        condition = self.condition[segment].expand(rows, -1, -1, -1, -1)
        noisy = z[segment].to(condition.dtype).expand_as(condition)
        timesteps = torch.full((rows,), t, device=z.device)
        rates = torch.full((rows,), self.frame_rate, device=z.device)
        controls = None
        if self.sketch_encoder is not None and self.hints is not None:
            hint = self.hints[segment].to(noisy).expand(rows, -1, -1, -1, -1)
            strength = self.sketch_strength
            if isinstance(strength, Tensor):
                strength = strength[segment].expand(rows, -1)
            controls = self.sketch_encoder(noisy, hint, timesteps, context, strength)
        return self.unet(torch.cat([noisy, condition], dim=1), timesteps, rates, context, controls)
