"""Dense optical flow by DIS (Kroeger et al. 2016), which OpenCV has, and warping along it.

OpenCV is optional: `scripts/requirements/evaluation.txt`.
"""

from __future__ import annotations

from importlib.util import find_spec

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

_LUMA = (0.299, 0.587, 0.114)
"""Of red, green and blue (BT.601)."""


def check_opencv(wanted_by: str) -> None:
    """Raise ValueError where OpenCV is not installed."""
    if find_spec("cv2") is None:
        raise ValueError(
            f"{wanted_by} needs OpenCV, which is not installed: pip install -r scripts/requirements/evaluation.txt, or "
            f"leave it out with --builtin and --measures"
        )


def optical_flow(a: Tensor, b: Tensor) -> Tensor:
    """Where each pixel of one picture (3, H, W) in [0, 1] is in another: a at x is b at x + flow.

    Returns:
        (2, H, W): px along w and along h, float32
    """
    import cv2  # optional, and nothing else of this module needs it

    dis = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
    flow = np.zeros((*a.shape[1:], 2), np.float32)
    return torch.from_numpy(np.asarray(dis.calc(_grey(a), _grey(b), flow), np.float32)).permute(2, 0, 1)


def warp(picture: Tensor, flow: Tensor) -> Tensor:
    """Fetch each pixel of a picture (c, H, W) from where the flow (2, H, W) says: at x + flow, borders repeated."""
    height, width = picture.shape[1:]
    rows, columns = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
    x, y = columns + flow[0], rows + flow[1]
    grid = torch.stack([2 * x / (width - 1) - 1, 2 * y / (height - 1) - 1], dim=-1)
    return F.grid_sample(picture[None], grid[None], padding_mode="border", align_corners=True)[0]


def is_seen_in_both(forward: Tensor, backward: Tensor) -> Tensor:
    """Which pixels (H, W) of the first picture are seen in the second too: there and back leads back.

    Sundaram et al. 2010, eq. 5: |w + w'|^2 < 0.01 (|w|^2 + |w'|^2) + 0.5.
    """
    back = warp(backward, forward)
    lengths = forward.square().sum(dim=0) + back.square().sum(dim=0)
    return (forward + back).square().sum(dim=0) < 0.01 * lengths + 0.5


def _grey(picture: Tensor) -> np.ndarray:
    grey = (picture * torch.tensor(_LUMA)[:, None, None]).sum(dim=0)
    return (grey.clamp(0, 1) * 255).round().byte().numpy()
