"""What several nodes for frames ask for."""

from __future__ import annotations

from comfy_api.latest import io

from ..frame_counts import frames_input
from ..types import CATEGORY

FRAMES_CATEGORY = f"{CATEGORY}/frames"


def segment_input() -> io.MultiType.Input:
    return frames_input(
        "frames_per_segment",
        "16",
        "Frames from one keyframe to the next, both included: frames of Encode Keyframes, one number or one for each "
        "segment. 0 takes the whole batch as one segment, with keyframes at its ends.",
    )
