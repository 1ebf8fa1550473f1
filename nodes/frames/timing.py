"""When frames are shown: ToonCrafter Retime, Hold Frames, Trim Keyframes, Ping-Pong and Drop Duplicates.

All but the last take frames, latents or both, and treat them alike.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from comfy_api.latest import io
from comfy_execution.graph_utils import ExecutionBlocker
from torch import Tensor

from ...tooncrafter_core.frames.retime import (
    CURVES,
    distinct,
    eased,
    held,
    parse_curve,
    take,
    there_and_back,
    trimmed,
)
from ...tooncrafter_core.frames.spans import Spans, spans_of_frames, spans_of_latents
from .. import checks
from ..frame_counts import read_counts
from .inputs import FRAMES_CATEGORY, segment_input

Latent = dict[str, Any]


class ToonCrafterRetime(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="ToonCrafterRetime",
            display_name="ToonCrafter Retime",
            category=FRAMES_CATEGORY,
            description="Moves from keyframe to keyframe along a timing curve, in as many frames as you like. It picks "
            "frames that are there, so that lines stay sharp; blend mixes two instead.",
            inputs=[
                *_batches(),
                segment_input(),
                io.String.Input(
                    "curve",
                    default="sine in-out",
                    tooltip=f"One of {', '.join(CURVES)} (in: starts slowly, out: ends slowly), or bezier x1 y1 x2 y2 "
                    "with two handles from 0 to 1, x being time: bezier 0.42 0 0.58 1.",
                ),
                io.Int.Input(
                    "length",
                    default=16,
                    min=2,
                    max=1000,
                    tooltip="Frames of each segment afterwards, both keyframes included. Dual-Ref Decode needs latents "
                    "in the length they had.",
                ),
                io.Boolean.Input(
                    "blend",
                    default=False,
                    tooltip="Mix the two frames around each moment instead of picking the nearer one. Moving lines "
                    "then show twice.",
                ),
            ],
            outputs=_outputs(),
        )

    @classmethod
    def execute(
        cls,
        frames_per_segment: int | str,
        curve: str,
        length: int,
        blend: bool,
        frames: Tensor | None = None,
        latent: Latent | None = None,
    ) -> io.NodeOutput:
        settings = {"frames_per_segment": frames_per_segment, "curve": curve, "length": length, "blend": blend}
        checks.widgets(cls, settings)
        progress = parse_curve(curve)
        return _retimed(frames, latent, frames_per_segment, lambda spans: eased(spans, progress, length), blend)


class ToonCrafterHoldFrames(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="ToonCrafterHoldFrames",
            display_name="ToonCrafter Hold Frames",
            category=FRAMES_CATEGORY,
            description="Animates on twos, threes and so on: each drawing is held for as many frames. The number of "
            "frames stays, and keyframes stay where they are.",
            inputs=[
                *_batches(),
                segment_input(),
                io.Int.Input("hold", default=2, min=1, max=16, tooltip="Frames that a drawing is shown: 2 is on twos."),
            ],
            outputs=_outputs(),
        )

    @classmethod
    def execute(
        cls, frames_per_segment: int | str, hold: int, frames: Tensor | None = None, latent: Latent | None = None
    ) -> io.NodeOutput:
        checks.widgets(cls, {"frames_per_segment": frames_per_segment, "hold": hold})
        return _retimed(frames, latent, frames_per_segment, lambda spans: held(spans, hold))


class ToonCrafterTrimKeyframes(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="ToonCrafterTrimKeyframes",
            display_name="ToonCrafter Trim Keyframes",
            category=FRAMES_CATEGORY,
            description="Drops the frames next to each keyframe, which often hardly move. The keyframes stay.",
            inputs=[
                *_batches(),
                segment_input(),
                io.Int.Input(
                    "drop", default=1, min=0, max=32, tooltip="Frames to drop on each side of every keyframe."
                ),
            ],
            outputs=_outputs(),
        )

    @classmethod
    def execute(
        cls, frames_per_segment: int | str, drop: int, frames: Tensor | None = None, latent: Latent | None = None
    ) -> io.NodeOutput:
        checks.widgets(cls, {"frames_per_segment": frames_per_segment, "drop": drop})
        return _retimed(frames, latent, frames_per_segment, lambda spans: trimmed(spans, drop))


class ToonCrafterPingPong(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="ToonCrafterPingPong",
            display_name="ToonCrafter Ping-Pong",
            category=FRAMES_CATEGORY,
            description="Plays the frames forward and then backward, as a loop.",
            inputs=[
                *_batches(),
                io.Boolean.Input(
                    "repeat_ends",
                    default=False,
                    tooltip="Show the last frame and the first one twice at the turns. Off, the result loops evenly.",
                ),
            ],
            outputs=_outputs(),
        )

    @classmethod
    def execute(cls, repeat_ends: bool, frames: Tensor | None = None, latent: Latent | None = None) -> io.NodeOutput:
        checks.widgets(cls, {"repeat_ends": repeat_ends})
        return _retimed(frames, latent, 0, lambda spans: there_and_back(spans.total, repeat_ends))


class ToonCrafterDropDuplicates(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="ToonCrafterDropDuplicates",
            display_name="ToonCrafter Drop Duplicates",
            category=FRAMES_CATEGORY,
            description="Drops frames that hardly differ from the last one kept.",
            inputs=[
                io.Image.Input("frames", tooltip="Frames in order."),
                io.Float.Input(
                    "threshold",
                    default=4.0,
                    min=0.0,
                    max=64.0,
                    step=0.5,
                    tooltip="A frame is kept where some 8 x 8 pixels differ by more than this on average, in levels of "
                    "255. 0 drops only frames that are equal.",
                ),
            ],
            outputs=[io.Image.Output(display_name="frames", tooltip="The frames that are left, in order.")],
        )

    @classmethod
    def execute(cls, frames: Tensor, threshold: float) -> io.NodeOutput:
        checks.widgets(cls, {"threshold": threshold})
        checks.pictures(frames, "frames")
        return io.NodeOutput(take(frames, distinct(frames.movedim(-1, 1), threshold)))


def _batches() -> list[io.Input]:
    return [
        io.Image.Input("frames", optional=True, tooltip="Frames in order, from Dual-Ref Decode or any other node."),
        io.Latent.Input("latent", optional=True, tooltip="Latents in order, frames as the batch, from the Sampler."),
    ]


def _outputs() -> list[io.Output]:
    return [
        io.Image.Output(display_name="frames", tooltip="Frames in their new order, if frames came."),
        io.Latent.Output(
            display_name="latent",
            tooltip="Latents in their new order, if latents came. Stock VAE Decode takes any number; Dual-Ref Decode "
            "as many as there were.",
        ),
    ]


def _retimed(
    frames: Tensor | None,
    latent: Latent | None,
    per_segment: int | str,
    positions: Callable[[Spans], Tensor],
    blend: bool = False,
) -> io.NodeOutput:
    """What is connected, at the positions of its segments; the other output stops what is behind it."""
    if frames is None and latent is None:
        raise ValueError("neither frames nor latent is connected; connect one of them, or both")
    counts = read_counts(per_segment)
    shown: object = _blocked("frames")
    if frames is not None:
        checks.pictures(frames, "frames")
        shown = take(frames, positions(spans_of_frames(len(frames), counts)), blend)
    moved: object = _blocked("latent")
    if latent is not None:
        spans = spans_of_latents(len(checks.latent(latent, "latent")), counts)
        moved = _moved(latent, positions(spans), blend)
    return io.NodeOutput(shown, moved)


def _moved(latent: Latent, positions: Tensor, blend: bool) -> Latent:
    """Everything in a LATENT that is there once for each frame."""
    total = len(latent["samples"])
    by_frame = {
        name: take(values, positions, blend)
        for name, values in latent.items()
        if isinstance(values, Tensor) and len(values) == total
    }
    return {**latent, **by_frame}


def _blocked(name: str) -> ExecutionBlocker:
    return ExecutionBlocker(f"Nothing came into {name}, so that nothing comes out of it; connect the input {name}.")
