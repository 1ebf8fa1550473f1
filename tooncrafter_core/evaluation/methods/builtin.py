"""The methods that need nothing but the keyframes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from torch import Tensor

from ..metrics import cross_dissolve, nearest_keyframe
from ..optical_flow import check_opencv
from .flow import warp_by_flow
from .gap import Gap, Method
from .minterpolate import minterpolate


def _dissolve(gap: Gap) -> Tensor:
    return cross_dissolve(gap.first, gap.last, gap.frames)


def _nearest(gap: Gap) -> Tensor:
    return nearest_keyframe(gap.first, gap.last, gap.frames)


BUILTIN: Mapping[str, Method] = {
    "dissolve": _dissolve,
    "nearest": _nearest,
    "flow": warp_by_flow,
    "minterpolate": minterpolate,
}
"""Cross-dissolve; the nearer keyframe; both keyframes warped along DIS flow; FFmpeg's filter."""


def builtin_methods(names: Sequence[str]) -> dict[str, Method]:
    """Those of these names.

    Raises:
        ValueError: one needs a package that is not installed.
    """
    if "flow" in names:
        check_opencv("the method flow")
    return {name: BUILTIN[name] for name in names}
