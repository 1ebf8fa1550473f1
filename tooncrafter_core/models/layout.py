"""Changes of layout between frame-wise and temporal layers, without a pass over the features of their own."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor


def to_video(images: Tensor, frames: int) -> Tensor:
    """Frames as the batch (b t, c, h, w) -> a view of them as videos (b, c, t, h, w)."""
    return images.unflatten(0, (-1, frames)).transpose(1, 2)


def to_images(videos: Tensor) -> Tensor:
    """Videos (b, c, t, h, w) -> frames as the batch (b t, c, h, w); copied where they are not stored that way."""
    return videos.transpose(1, 2).flatten(0, 1)


def contiguous(operation: Callable[..., Tensor], first: Tensor, *others: Tensor) -> Tensor:
    """What an elementwise operation makes of tensors of any layout, contiguous.

    The operation writes it so, where it can: its `out` cannot be differentiated, and a compiler that makes code without
    writes in place of code with them forgets the layout. There it is copied.

    Args:
        operation: such as `torch.add`.
        first: has the result's shape and dtype.
        others: broadcastable to it.
    """
    if torch.is_grad_enabled() or torch.compiler.is_compiling():
        return operation(first, *others).contiguous()
    return operation(first, *others, out=torch.empty_like(first, memory_format=torch.contiguous_format))


def writable(x: Tensor) -> Tensor:
    """x itself, to be changed in place; where gradients are recorded a copy, as a backward pass may need x."""
    return x.clone() if torch.is_grad_enabled() else x
