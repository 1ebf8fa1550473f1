"""The sketch encoder as ComfyUI's CONTROL_NET."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import comfy.model_management as management
import torch
from comfy.controlnet import ControlBase, ControlNet
from comfy.ops import pick_operations
from comfy.utils import repeat_to_batch_size
from einops import rearrange
from torch import Tensor

from ...tooncrafter_core.files.checkpoint import Checkpoint
from ...tooncrafter_core.finite import NotFiniteError, is_finite
from ...tooncrafter_core.memory import naming_lack
from ...tooncrafter_core.models.config import SketchConfig
from ...tooncrafter_core.models.layers import Layers
from ...tooncrafter_core.models.unet.context import CrossContext
from ...tooncrafter_core.models.unet.sketch_encoder import SketchEncoder, scaled
from ...tooncrafter_core.models.unet.unet import Controls
from ...tooncrafter_core.timeline import segment_rows
from .attention import attention_for
from .interruption import stop_if_interrupted


class HostSketchEncoder(SketchEncoder):
    """The sketch encoder, called as ComfyUI calls a ControlNet: frames as the batch, hint in any channels."""

    def __init__(self, config: SketchConfig, layers: Layers) -> None:
        super().__init__(config, layers)
        self.dtype = layers.dtype

    def forward(
        self, x: Tensor, hint: Tensor, timesteps: Tensor, context: Tensor, frames: tuple[int, ...] = (), **_: Any
    ) -> dict[str, list[Tensor]]:
        """x (n, c, h, w), hint (n or 1, any, 8 h, 8 w) white on black, timesteps (n,), context (n, L, d).

        Rows come in segments of so many `frames` that share timestep and text, and in as many passes. They are encoded
        one after the other, so that only what comes out grows with their number. Other models than ours have no
        segments: each row is a frame by itself, all at once.
        """
        grey = hint.mean(dim=1, keepdim=True).expand(len(x), self.config.hint_channels, -1, -1)
        with naming_lack("The sketch encoder"):
            parts = [
                self._encode(x[r], grey[r], timesteps[r], context[r], bool(frames)) for r in _parts(len(x), frames)
            ]
            skips = [torch.cat(maps) for maps in zip(*(part.skips for part in parts), strict=True)]
            return {"output": skips, "middle": [torch.cat([part.middle for part in parts])]}

    def _encode(self, x: Tensor, hint: Tensor, timesteps: Tensor, text: Tensor, shared: bool) -> Controls:
        """One part: rows that share the first one's timestep and text, or have their own."""
        t = len(x) if shared else 1
        video, hints = (rearrange(rows, "(b t) c h w -> b c t h w", t=t) for rows in (x, hint))
        return super().forward(video, hints, timesteps[::t], CrossContext(text[::t]))


def _parts(rows: int, frames: tuple[int, ...]) -> list[slice]:
    """One segment of one pass at a time; without segments all rows at once."""
    if not frames:
        return [slice(0, rows)]
    return [slice(part.start, part.stop) for part in segment_rows(frames * (rows // sum(frames)))]


class SketchControlNet(ControlNet):
    """A sketch encoder whose outputs can have a strength for each frame, beside the one for all of them.

    Attributes:
        frame_strengths: factors (T,), or None.
    """

    frame_strengths: Tensor | None = None

    def control_merge(self, control: dict[str, list[Tensor]], *others: Any, **named: Any) -> dict[str, list[Tensor]]:
        """Before ComfyUI scales the outputs and adds those of the ControlNet before."""
        if self.frame_strengths is not None:
            control = {name: [self._scaled(maps) for maps in outputs] for name, outputs in control.items()}
        return super().control_merge(control, *others, **named)

    def copy(self) -> SketchControlNet:
        """As `ControlNet.copy`, which would make one of its own class."""
        made = SketchControlNet(None, load_device=self.load_device, manual_cast_dtype=self.manual_cast_dtype)
        made.control_model = self.control_model
        made.control_model_wrapped = self.control_model_wrapped
        made.frame_strengths = self.frame_strengths
        self.copy_to(made)
        return made

    def _scaled(self, maps: Tensor) -> Tensor:
        """Passes that run together are one after the other in the batch."""
        return scaled(maps, repeat_to_batch_size(self.frame_strengths, len(maps)))


def sketch_encoders(control: ControlBase | None) -> Iterator[SketchEncoder]:
    """The sketch encoders in a chain of ControlNets."""
    for link in _links(control):
        encoder = getattr(link, "control_model", None)
        if isinstance(encoder, HostSketchEncoder):
            yield encoder


def check_hints(control: ControlBase | None) -> None:
    """Raise NotFiniteError unless the pictures and strengths in a chain of ControlNets are finite."""
    for link in _links(control):
        hint = link.cond_hint_original
        if (isinstance(hint, Tensor) and not is_finite(hint)) or not math.isfinite(link.strength):
            raise NotFiniteError(
                "The picture or the strength of a ControlNet is NaN or infinite. Look at what is connected to Apply "
                "ControlNet."
            )


def _links(control: ControlBase | None) -> Iterator[ControlBase]:
    while control is not None:
        yield control
        control = control.previous_controlnet


def load_control_net(checkpoint: Checkpoint) -> SketchControlNet:
    """CONTROL_NET from a sketch encoder checkpoint; dtype and devices are ComfyUI's choice."""
    weights = checkpoint.part("sketch")
    device = management.get_torch_device()
    dtype = management.unet_dtype(
        model_params=sum(tensor.numel() for tensor in weights.values()),
        supported_dtypes=[torch.float16, torch.bfloat16, torch.float32],
        weight_dtype=next(iter(weights.values())).dtype,
    )
    manual_cast = management.unet_manual_cast(dtype, device)
    layers = Layers(
        pick_operations(dtype, manual_cast),
        attention_for(device),
        dtype,
        management.unet_offload_device(),
        before_block=stop_if_interrupted,
    )
    model = HostSketchEncoder(checkpoint.config.sketch, layers).eval()
    model.load_state_dict(weights)
    return SketchControlNet(model, load_device=device, manual_cast_dtype=manual_cast, extra_conds=["frames"])
