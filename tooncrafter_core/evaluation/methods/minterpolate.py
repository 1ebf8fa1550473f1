"""In-betweens by FFmpeg's motion-compensated filter, through PyAV."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction

import av
import av.filter
import torch
from torch import Tensor

from .gap import Gap

_OPTIONS = "mi_mode=mci:mc_mode=aobmc:me_mode=bidir:vsbmc=1:scd=none"
"""Overlapping blocks of variable size, searched both ways; a large change is not taken for a cut."""
_FORMAT = "yuv444p"


def minterpolate(gap: Gap) -> Tensor:
    """Frames of FFmpeg's `minterpolate` between the keyframes, which themselves stay as they are.

    The filter looks at four frames and draws between the two in the middle: it is given each keyframe twice.
    """
    inner = gap.frames - 1
    graph = av.filter.Graph()
    height, width = gap.first.shape[1:]
    source = graph.add_buffer(width=width, height=height, format=av.VideoFormat(_FORMAT), time_base=Fraction(1, inner))
    step, sink = graph.add("minterpolate", f"fps={inner}:{_OPTIONS}"), graph.add("buffersink")
    source.link_to(step)
    step.link_to(sink)
    graph.configure()
    drawn = []
    for number, picture in enumerate((gap.first, gap.first, gap.last, gap.last)):
        graph.vpush(_video_frame(picture, number * inner, inner))
        drawn += list(_finished(graph))
    graph.vpush(None)
    drawn += list(_finished(graph))
    if len(drawn) != 2 * inner + 1:
        raise RuntimeError(f"minterpolate gave {len(drawn)} frames for {gap.clip}; expected {2 * inner + 1}")
    return torch.stack([gap.first, *drawn[inner + 1 : -1], gap.last])


def _video_frame(picture: Tensor, at: int, rate: int) -> av.VideoFrame:
    pixels = (picture * 255).round().byte().permute(1, 2, 0).contiguous().numpy()
    frame = av.VideoFrame.from_ndarray(pixels, format="rgb24").reformat(format=_FORMAT)
    frame.pts, frame.time_base = at, Fraction(1, rate)
    return frame


def _finished(graph: av.filter.Graph) -> Iterator[Tensor]:
    """Frames (3, H, W) in [0, 1] that the filter has ready."""
    while True:
        try:
            frame = graph.vpull()
        except (av.error.BlockingIOError, av.error.EOFError):
            return
        yield torch.from_numpy(frame.to_ndarray(format="rgb24")).permute(2, 0, 1).float() / 255
