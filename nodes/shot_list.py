"""ToonCrafter Shot List and Take Shot: a list of shots, of which the queue draws one after another."""

from __future__ import annotations

import math
import os
from pathlib import Path

import folder_paths
from comfy_api.latest import io
from comfy_execution.graph_utils import ExecutionBlocker
from torch import Tensor

from ..tooncrafter_core.batch.shots.shot import Shot
from ..tooncrafter_core.batch.shots.shot_list import read_shots
from ..tooncrafter_core.files.media import read_image
from ..tooncrafter_core.inputs import shortened
from . import checks
from .types import CATEGORY, ShotsWire


class ToonCrafterShotList(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="ToonCrafterShotList",
            display_name="ToonCrafter Shot List",
            category=CATEGORY,
            description="Reads a list of shots, a JSON object on each line: the file that the command batch takes. "
            "Take Shot gives one of them.",
            inputs=[
                io.String.Input(
                    "shot_list",
                    default="shots.jsonl",
                    tooltip="The list: a file in ComfyUI's input folder, or a whole path. Its pictures are looked for "
                    "in its folder.",
                ),
            ],
            outputs=[
                ShotsWire.Output(display_name="shots", tooltip="All shots, for Take Shot."),
                io.Int.Output(display_name="count", tooltip="How many there are: run the queue so many times."),
            ],
        )

    @classmethod
    def fingerprint_inputs(cls, shot_list: str | None) -> object:
        """What list and pictures are now; a name that comes over a wire is not known yet (None)."""
        if shot_list is None:
            return math.nan
        files = [_path(shot_list), *(file for shot in read_shots(_path(shot_list)) for file in shot.pictures)]
        return [f"{file} {file.stat().st_mtime_ns}" for file in files]

    @classmethod
    def execute(cls, shot_list: str) -> io.NodeOutput:
        shots = read_shots(_path(checks.widgets(cls, {"shot_list": shot_list})["shot_list"]))
        return io.NodeOutput(shots, len(shots))


class ToonCrafterTakeShot(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="ToonCrafterTakeShot",
            display_name="ToonCrafter Take Shot",
            category=CATEGORY,
            description="One shot of a list, for Encode Keyframes, Sketch Guide and Sampler. With index set to "
            "increment, each run of the queue draws the next one.",
            inputs=[
                ShotsWire.Input("shots", tooltip="From Shot List."),
                io.Int.Input(
                    "index",
                    default=0,
                    min=0,
                    max=1_000_000,
                    control_after_generate=True,
                    tooltip="The shot's number, the first one is 0. Set to increment, the next run takes the next one.",
                ),
            ],
            outputs=[
                io.Image.Output(
                    display_name="keyframes", is_output_list=True, tooltip="A list, for keyframes of Encode Keyframes."
                ),
                io.String.Output(display_name="frames", tooltip="For frames of Encode Keyframes."),
                io.Int.Output(display_name="width", tooltip="For width of Encode Keyframes."),
                io.Int.Output(display_name="height", tooltip="For height of Encode Keyframes."),
                io.Int.Output(display_name="fps", tooltip="For fps of Encode Keyframes."),
                io.Boolean.Output(display_name="loop", tooltip="For loop of Encode Keyframes."),
                io.String.Output(display_name="prompt", tooltip="For text of CLIP Text Encode."),
                io.String.Output(display_name="negative prompt", tooltip="For text of another CLIP Text Encode."),
                io.Int.Output(display_name="seed", tooltip="For seed of the Sampler."),
                io.Int.Output(display_name="steps", tooltip="For steps of the Sampler."),
                io.Float.Output(display_name="guidance scale", tooltip="For guidance_scale of the Sampler."),
                io.Image.Output(
                    display_name="sketches",
                    is_output_list=True,
                    tooltip="A list, for sketches of Sketch Guide; a shot without sketches stops what is behind it.",
                ),
                io.String.Output(display_name="frame indices", tooltip="For frame_indices of Sketch Guide."),
                io.String.Output(display_name="strengths", tooltip="For strengths of Sketch Guide."),
                io.String.Output(display_name="name", tooltip="The shot's name, for filename_prefix of Save Image."),
            ],
        )

    @classmethod
    def execute(cls, shots: list[Shot], index: int) -> io.NodeOutput:
        number = checks.widgets(cls, {"index": index})["index"]
        if not isinstance(shots, list) or not shots or not all(isinstance(shot, Shot) for shot in shots):
            raise ValueError("shots is no list of shots; expected what Shot List gives. Connect Shot List to shots.")
        if number >= len(shots):
            raise ValueError(f"index is {number}; expected 0 to {len(shots) - 1}, the list has no more shots")
        shot, settings = shots[number], shots[number].settings
        return io.NodeOutput(
            [_read(file) for file in shot.keyframes],
            ", ".join(map(str, shot.counts)),
            settings.width,
            settings.height,
            settings.frame_rate,
            settings.loop,
            settings.prompt,
            settings.negative_prompt,
            settings.seed,
            settings.steps,
            float(settings.guidance_scale),
            *_sketches(shot),
            shot.name,
        )


def _path(shot_list: str) -> Path:
    """Raise ValueError unless a list is there."""
    folder = Path(folder_paths.get_input_directory())
    path = folder / shot_list.strip()
    if not os.path.isfile(path):  # Path.is_file raises where a name is too long
        raise ValueError(f"no list of shots {shortened(shot_list)}; expected a file in {folder}, or a whole path")
    return path


def _read(file: Path) -> Tensor:
    return read_image(file).movedim(0, -1)[None]


def _sketches(shot: Shot) -> tuple[object, object, object]:
    """Pictures, frame indices and strengths, or what stops the nodes behind."""
    if not shot.sketches:
        stop = ExecutionBlocker(f"The shot {shot.name} has no sketches; bypass Sketch Guide for it.")
        return [stop], stop, stop
    indices = ", ".join(str(sketch.frame) for sketch in shot.sketches)
    return [_read(sketch.picture) for sketch in shot.sketches], indices, ", ".join(map(str, shot.strengths))
