"""How far apart the edges of two pictures are: what keeps lines of a pixel or two from being painted over."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor


def edge_distance(pictures: Tensor, truth: Tensor) -> Tensor:
    """Mean absolute difference of the steps from pixel to pixel, across and down (Mathieu et al. 2016, eq. 6, alpha 1).

    Args:
        pictures: (n, c, H, W), sides of 2 pixels or more.
        truth: of the same shape.

    Returns:
        scalar, in the pictures' units.
    """
    return F.l1_loss(pictures.diff(dim=-1), truth.diff(dim=-1)) + F.l1_loss(pictures.diff(dim=-2), truth.diff(dim=-2))
