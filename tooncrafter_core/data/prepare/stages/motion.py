"""How much moves, and how much flickers: optical flow between neighbouring frames, by DIS or by RAFT."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from ....files.weight_file import read_weight_file
from ..film import Frames
from ..settings import Motion
from ..store import Result
from ..views import Views

SIDE = 144
"""px of the frames' shorter side."""
WINDOW = 16
"""Frames over which a way is measured."""
_RAFT_STEM = "feature_encoder.convnormrelu.0.weight"
_RAFT_LARGE = 64
"""Channels of the large network's stem; the small one has fewer."""

Flow = Callable[[Frames, Frames], NDArray[np.float32]]
"""Two frames (H, W, 3) to where each pixel of the first is in the second, (H, W, 2): px along w and along h."""


def measurer(settings: Motion, device: torch.device) -> Callable[[Views, dict[str, Result]], Result]:
    """What measures one stretch; see `measure`.

    Raises:
        ValueError: the file of RAFT's weights cannot be used.
    """
    flow = _dis() if settings.raft is None else _raft(settings.raft, device)
    return lambda views, _: measure(views.frames, flow)


def measure(frames: Frames, flow: Flow) -> Result:
    """Motion and flicker of frames (t, H, W, 3).

    Returns:
        `motion`: 95th percentile over pixels of the way through 16 frames, px, in the window where it is largest.
        `flicker`: mean absolute change of grey, 0 to 255, that moving a frame along the flow does not explain.
    """
    steps = len(frames) - 1
    way = np.zeros(frames.shape[1:3], np.float32)
    ways, left = [], []
    for step in range(steps):
        moved = flow(frames[step], frames[step + 1])
        way += np.linalg.norm(moved, axis=-1)
        left.append(_unexplained(frames[step], frames[step + 1], moved))
        if (step + 1) % (WINDOW - 1) == 0 or step + 1 == steps:
            ways.append(float(np.percentile(way, 95)))
            way[:] = 0
    return {"motion": round(max(ways), 3), "flicker": round(float(np.mean(left)), 3)}


def fault(result: Result, settings: Motion) -> str | None:
    """`still`, `flickering` or None."""
    if result["motion"] < settings.least:
        return "still"
    return "flickering" if result["flicker"] > settings.most_flicker else None


def _unexplained(a: Frames, b: Frames, flow: NDArray[np.float32]) -> float:
    import cv2

    rows, columns = np.indices(flow.shape[:2], dtype=np.float32)
    back = cv2.remap(
        _grey(b), columns + flow[..., 0], rows + flow[..., 1], cv2.INTER_LINEAR, None, cv2.BORDER_REPLICATE
    )
    return float(np.abs(back.astype(np.float32) - _grey(a)).mean())


def _grey(frame: Frames) -> Frames:
    import cv2

    return np.asarray(cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY), np.uint8)


def _dis() -> Flow:
    import cv2

    cv2.setNumThreads(1)
    dis = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_FAST)
    return lambda a, b: np.asarray(dis.calc(_grey(a), _grey(b), np.zeros((*a.shape[:2], 2), np.float32)), np.float32)


def _raft(path: Path, device: torch.device) -> Flow:
    from torchvision.models.optical_flow import raft_large, raft_small

    weights = read_weight_file(path)
    if _RAFT_STEM not in weights:
        raise ValueError(f"{path} has no {_RAFT_STEM}; expected torchvision's weights of raft_large or raft_small")
    network = raft_large() if len(weights[_RAFT_STEM]) == _RAFT_LARGE else raft_small()
    try:
        network.load_state_dict(weights)
    except RuntimeError as error:
        raise ValueError(f"{path} is not torchvision's {type(network).__name__}: {str(error)[:300]}") from error
    network = network.to(device).eval()

    @torch.inference_mode()
    def flow(a: Frames, b: Frames) -> NDArray[np.float32]:
        both = [torch.from_numpy(frame).to(device).permute(2, 0, 1)[None] / 127.5 - 1 for frame in (a, b)]
        return network(*both)[-1][0].permute(1, 2, 0).float().cpu().numpy()

    return flow
