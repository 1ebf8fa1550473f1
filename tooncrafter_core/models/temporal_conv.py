"""The convolution over three neighbouring frames, on a CPU as three matrix products.

There PyTorch's kernel for a (3, 1, 1) convolution reaches a small part of the speed of a matrix product;
`docs/performance.md` says how small.
"""

from __future__ import annotations

from functools import cache

import torch
from torch import Tensor, nn


class TemporalConv(nn.Conv3d):
    """A (3, 1, 1) convolution on (b, c, t, h, w), padded by a frame of zeros at both ends."""

    def _conv_forward(self, input: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        if bias is None or not _products_are_faster(input):
            return super()._conv_forward(input, weight, bias)
        out = input.new_empty(len(input), len(weight), *input.shape[2:])
        for video, result in zip(input, out, strict=True):
            _of_neighbours(video, weight, bias, result)
        return out


@cache
def temporal_conv_of(base: type[nn.Conv3d]) -> type[nn.Conv3d]:
    """The class for a host's own convolution, which still decides where weights come from."""
    return type("TemporalConv", (TemporalConv, base), {})


def _products_are_faster(x: Tensor) -> bool:
    plain = not (torch.is_grad_enabled() or torch.compiler.is_compiling())
    return plain and x.device.type == "cpu" and x.dtype == torch.float32


def _of_neighbours(video: Tensor, weight: Tensor, bias: Tensor, out: Tensor) -> None:
    """Of one video (c, t, h, w): each frame's product, and those of the frames before and behind added to it."""
    pixels = video[0, 0].numel()
    rows, sums = video.reshape(len(video), -1), out.view(len(out), -1)
    before, same, behind = weight[..., 0, 0].unbind(-1)
    torch.addmm(bias[:, None], same, rows, out=sums)
    sums[:, pixels:].addmm_(before, rows[:, :-pixels])
    sums[:, :-pixels].addmm_(behind, rows[:, pixels:])
