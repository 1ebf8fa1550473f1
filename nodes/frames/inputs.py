"""What several nodes for frames ask for."""

from __future__ import annotations

from comfy_api.latest import io

from ..types import CATEGORY

FRAMES_CATEGORY = f"{CATEGORY}/frames"


def segment_input() -> io.Int.Input:
    return io.Int.Input(
        "frames_per_segment",
        default=16,
        min=0,
        max=1000,
        tooltip="Frames from one keyframe to the next, both included: frames of Encode Keyframes. 0 takes the whole "
        "batch as one segment, with keyframes at its ends.",
    )
