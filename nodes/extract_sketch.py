"""ToonCrafter Extract Sketch: line drawings of frames, of all or of some."""

from __future__ import annotations

from pathlib import Path

import comfy.model_management as management
import folder_paths
import torch
from comfy.utils import ProgressBar
from comfy_api.latest import io
from torch import Tensor

from ..tooncrafter_core.frames.spans import spans_of_frames
from ..tooncrafter_core.sketches.anime2sketch import load_anime2sketch
from ..tooncrafter_core.sketches.indices import parse_frame_indices
from ..tooncrafter_core.sketches.lines import LineExtractor, extract_lines
from . import checks
from .files import LINE_NETWORKS
from .frame_counts import WHOLE, frames_input, read_counts
from .host.interruption import stop_if_interrupted
from .types import CATEGORY

_BUILT_IN = "built-in"


class ToonCrafterExtractSketch(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="ToonCrafterExtractSketch",
            display_name="ToonCrafter Extract Sketch",
            category=CATEGORY,
            description="Draws the lines of frames, such as those of a video whose motion should be followed, and says "
            "which frames they are: connect both outputs to Sketch Guide.",
            inputs=[
                io.Image.Input("frames", tooltip="A batch of frames, in order."),
                io.String.Input(
                    "pick",
                    default="bisect:2",
                    tooltip="Frames to draw: every:4, bisect:2 (the middle of each segment and of its halves), or "
                    "indices such as 5, 9-11. every:1 is all.",
                ),
                frames_input(
                    "frames_per_segment",
                    WHOLE,
                    "For bisect: frames from one keyframe to the next, both included, one number or one for each "
                    "segment. 0 takes the whole batch as one segment.",
                ),
                io.Combo.Input(
                    "extractor",
                    options=[_BUILT_IN, *folder_paths.get_filename_list(LINE_NETWORKS)],
                    default=_BUILT_IN,
                    tooltip="The built-in one needs no file. Others are weights of Anime2Sketch, which ToonCrafter's "
                    "sketch encoder was trained with, in ComfyUI's models/tooncrafter folder.",
                ),
            ],
            outputs=[
                io.Image.Output(
                    display_name="sketches",
                    tooltip="White lines on black, one for each picked frame: for Sketch Guide or Apply ControlNet.",
                ),
                io.String.Output(display_name="frame_indices", tooltip="Which frames these are, for Sketch Guide."),
            ],
        )

    @classmethod
    def execute(cls, frames: Tensor, pick: str, frames_per_segment: int | str, extractor: str) -> io.NodeOutput:
        given = {"pick": pick, "frames_per_segment": frames_per_segment, "extractor": extractor}
        checks.widgets(cls, given)
        pictures = checks.pictures(frames, "frames")
        counts = read_counts(frames_per_segment)
        per_segment = spans_of_frames(len(pictures), counts).frames if counts else None
        indices = parse_frame_indices(pick, None, len(pictures), per_segment)
        if not indices:
            raise ValueError("pick is empty; expected frames to draw, such as bisect:2, every:4 or 5, 9-11")
        sketches = _drawn(pictures[indices], _load(extractor))
        return io.NodeOutput(sketches.movedim(1, -1).expand(-1, -1, -1, 3), ", ".join(map(str, indices)))


def _load(extractor: str) -> LineExtractor:
    if extractor == _BUILT_IN:
        return extract_lines
    network = load_anime2sketch(Path(folder_paths.get_full_path_or_raise(LINE_NETWORKS, extractor)))
    device = management.get_torch_device()
    management.free_memory(sum(weight.nbytes for weight in network.parameters()), device)
    return network.to(device)


def _drawn(pictures: Tensor, extract: LineExtractor) -> Tensor:
    """Lines (n, 1, H, W) of pictures, one after the other."""
    bar, lines = ProgressBar(len(pictures)), []
    for picture in pictures.split(1):
        stop_if_interrupted()
        lines.append(extract(picture).float().cpu())
        bar.update(1)
    return torch.cat(lines)
