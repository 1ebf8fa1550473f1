"""Keys a figure from a plain background: what is transparent, and the figure's own colours at its edges."""

from __future__ import annotations

from collections.abc import Callable

import kornia
import torch
import torch.nn.functional as F
from torch import Tensor


def background_colours(frames: Tensor) -> Tensor:
    """The colour of each frame's border, its median: (n, 3, 1, 1) of (n, 3, H, W)."""
    sides = (frames[..., 0], frames[..., -1], frames[..., 0, :], frames[..., -1, :])
    return torch.cat(sides, dim=-1).median(dim=-1).values[..., None, None]


def key(frames: Tensor, transparent: float, opaque: float, before_step: Callable[[], None] = lambda: None) -> Tensor:
    """Mattes of figures on a plain background.

    Background is what has the border's colour and is connected to the border, so that the same colour inside a figure,
    the white of an eye, stays opaque. The border's colour is looked up in each frame, which makes its drift harmless.

    Args:
        frames: (n, 3, H, W) in [0, 1].
        transparent: distance from the background's colour, delta E 1976, up to which a pixel is transparent.
        opaque: distance from which it is opaque; more than `transparent`.
        before_step: called before each step from the border inwards, of which there are many where the background
            winds; a host that can be interrupted raises in it.

    Returns:
        (n, 1, H, W) in [0, 1], 1 where the figure is

    Raises:
        ValueError: `opaque` is not more than `transparent`.
    """
    if opaque <= transparent:
        raise ValueError(f"opaque is {opaque} and transparent {transparent}; expected opaque to be more")
    lab = kornia.color.rgb_to_lab(frames)
    distance = (lab - kornia.color.rgb_to_lab(background_colours(frames))).norm(dim=1, keepdim=True)
    alpha = ((distance - transparent) / (opaque - transparent)).clamp(0, 1)
    outside = torch.cat([_connected_to_border(mask, before_step) for mask in (alpha < 0.5).split(1)])
    near = F.max_pool2d(outside.float(), 3, stride=1, padding=1) > 0  # half-transparent edges lie beside the outside
    return torch.where(near, alpha, torch.ones_like(alpha))


def cut_out(frames: Tensor, alpha: Tensor) -> Tensor:
    """RGBA (n, 4, H, W) of frames (n, 3, H, W) and mattes (n, 1, H, W); edge pixels lose the background in them."""
    background = background_colours(frames)
    figure = (frames - (1 - alpha) * background) / alpha.clamp(min=1e-3)
    return torch.cat([torch.where(alpha > 0, figure, frames).clamp(0, 1), alpha], dim=1)


def _connected_to_border(mask: Tensor, before_step: Callable[[], None]) -> Tensor:
    """The part of a mask (1, 1, H, W) that can be walked to from the border up, down and sideways; a step goes as far
    as the mask does, so that only turns of the way cost steps."""
    reached = torch.zeros_like(mask)
    for side in (reached[..., 0], reached[..., -1], reached[..., 0, :], reached[..., -1, :]):
        side.fill_(True)
    reached &= mask
    runs = [(dim, (~mask).cumsum(dim)) for dim in (-1, -2)]
    while True:
        before_step()
        grown = reached
        for dim, numbers in runs:
            grown = _along(grown, numbers, dim) & mask
        if torch.equal(grown, reached):
            return reached
        reached = grown


def _along(reached: Tensor, numbers: Tensor, dim: int) -> Tensor:
    """Whether anything is reached in the run that each pixel of a row or column belongs to, by the runs' `numbers`."""
    found = F.pad(torch.zeros_like(numbers), (0, 1) if dim == -1 else (0, 0, 0, 1))  # walls are counted from 0 on
    return found.scatter_add_(dim, numbers, reached.long()).gather(dim, numbers) > 0
