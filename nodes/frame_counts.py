"""The widget that takes frames of segments: one number, or one for each segment."""

from __future__ import annotations

from comfy_api.latest import io

from ..tooncrafter_core.timeline import parse_frames

WHOLE = "0"
"""What takes a batch as one segment, in widgets for finished frames."""


def frames_input(name: str, default: str, tooltip: str) -> io.MultiType.Input:
    """A text such as `16` or `16, 24, 12`. A whole number is taken as well: workflows may hold one here, or a wire of
    one."""
    return io.MultiType.Input(io.String.Input(name, default=default, tooltip=tooltip), types=[io.String, io.Int])


def read_counts(value: int | str) -> int | tuple[int, ...]:
    """What `spans_of_frames` and `spans_of_latents` take, from `frames_per_segment` of a node for finished frames."""
    return 0 if str(value).strip() == WHOLE else parse_frames(value, "frames_per_segment")
