"""Gradient checkpointing (Chen et al. 2016): blocks keep their inputs only, and run again in the backward pass."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

from torch import nn
from torch.utils.checkpoint import checkpoint

from ...models.unet.blocks import ResBlock
from ...models.unet.transformer import SpatialTransformer, TemporalTransformer
from ...models.vae.blocks import ImageAttention, ImageResBlock
from ...models.vae.decoder import ReferenceAttention

_BLOCKS = (ResBlock, SpatialTransformer, TemporalTransformer, ImageResBlock, ImageAttention, ReferenceAttention)


def outermost_blocks(model: nn.Module) -> Iterator[nn.Module]:
    """Residual blocks and transformers of a model that are in no other one."""
    for child in model.children():
        if isinstance(child, _BLOCKS):
            yield child
        else:
            yield from outermost_blocks(child)


def recompute_blocks(model: nn.Module) -> None:
    """Make every outermost residual block and transformer of a model recompute its activations."""
    for block in outermost_blocks(model):
        block.forward = partial(checkpoint, block.forward, use_reentrant=False)
