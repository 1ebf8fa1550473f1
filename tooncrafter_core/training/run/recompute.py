"""Gradient checkpointing (Chen et al. 2016): blocks keep their inputs only, and run again in the backward pass."""

from __future__ import annotations

from functools import partial

from torch import nn
from torch.utils.checkpoint import checkpoint

from ...models.unet.blocks import ResBlock
from ...models.unet.transformer import SpatialTransformer, TemporalTransformer
from ...models.vae.blocks import ImageAttention, ImageResBlock
from ...models.vae.decoder import ReferenceAttention

_BLOCKS = (ResBlock, SpatialTransformer, TemporalTransformer, ImageResBlock, ImageAttention, ReferenceAttention)


def recompute_blocks(model: nn.Module) -> None:
    """Make every outermost residual block and transformer of a model recompute its activations."""
    for child in model.children():
        if isinstance(child, _BLOCKS):
            child.forward = partial(checkpoint, child.forward, use_reentrant=False)  # type: ignore[method-assign]
        else:
            recompute_blocks(child)
