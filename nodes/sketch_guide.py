"""ToonCrafter Sketch Guide: line drawings at chosen frames."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from comfy_api.latest import io
from torch import Tensor

from ..tooncrafter_core.files.images import POLARITIES, Polarity, fit_images, pad_to_latents, sketch_hints
from ..tooncrafter_core.memory import naming_lack
from ..tooncrafter_core.models.config import PIXELS_PER_LATENT
from ..tooncrafter_core.sketches.indices import parse_frame_indices, parse_strengths
from ..tooncrafter_core.timeline import join_segments, place_sketches, place_strengths
from . import checks
from .host.conditioning import Keyframes
from .host.control import SketchControlNet
from .types import CATEGORY

_STRONGEST = 2.0


class ToonCrafterSketchGuide(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="ToonCrafterSketchGuide",
            display_name="ToonCrafter Sketch Guide",
            category=CATEGORY,
            description="Lets line drawings guide chosen frames. Frames without a drawing stay free; without sketches "
            "nothing changes.",
            is_input_list=True,  # a list of images is one list of sketches, of any sizes, and not one run for each
            inputs=[
                io.Conditioning.Input("positive", tooltip="Positive conditioning of Encode Keyframes."),
                io.Conditioning.Input("negative", tooltip="Negative conditioning of Encode Keyframes."),
                io.ControlNet.Input("control_net", tooltip="From ToonCrafter Sketch Encoder Loader."),
                io.Image.Input(
                    "sketches",
                    optional=True,
                    tooltip="One drawing for each frame index: a batch, or a list of images of any sizes. Drawings are "
                    "fitted to the frame as the keyframes were.",
                ),
                io.String.Input(
                    "frame_indices",
                    default="7",
                    tooltip="Frames the drawings are for, such as 5, 9-11. The first frame is 0 and -1 is the last; "
                    "with more than two keyframes the count goes on over the segments. 50% is the middle of the "
                    "result, bisect:2 the middles of each segment and of its halves, every:1 all frames.",
                ),
                io.Float.Input(
                    "strength",
                    default=0.6,
                    min=0.0,
                    max=_STRONGEST,
                    step=0.01,
                    tooltip="How strongly the drawings guide; 0.6 is the usual value, 0 is not at all.",
                ),
                *_more_inputs(),
            ],
            outputs=[
                io.Conditioning.Output(display_name="positive", tooltip="Conditioning with the drawings."),
                io.Conditioning.Output(display_name="negative", tooltip="Conditioning with the drawings."),
                io.Image.Output(
                    display_name="hints",
                    tooltip="What the sketch encoder sees, frame by frame of the result: white lines on black at "
                    "the model's size (multiples of 8), and black where nothing guides.",
                ),
            ],
        )

    @classmethod
    @naming_lack("Placing the sketches")
    def execute(cls, sketches: list[Tensor] | None = None, **wires: list[Any]) -> io.NodeOutput:
        given = {name: checks.single(name, values, "sketches") for name, values in wires.items()}
        positive, negative = (checks.conditioning(given.pop(name), name) for name in ("positive", "negative"))
        keyframes = checks.keyframes(positive, negative)
        control_net = checks.sketch_encoder(given.pop("control_net"))
        settings = _Settings(**checks.widgets(cls, given))
        settings.check_percents()
        drawings = [checks.pictures(batch, "sketches") for batch in sketches or ()]
        if sketches is None:
            return io.NodeOutput(positive, negative, _shown(_none(keyframes), keyframes))
        if not drawings:
            raise ValueError("sketches came as a list of 0; expected pictures. Look at the node that lists them.")
        count = sum(map(len, drawings))
        indices = parse_frame_indices(settings.frame_indices, count, keyframes.total_frames, keyframes.frames)
        strengths = parse_strengths(settings.strengths, count, _STRONGEST) or [settings.strength] * count
        if settings.strength == 0 and not any(strengths):
            return io.NodeOutput(positive, negative, _shown(_none(keyframes), keyframes))
        fitted = [
            fit_images(sketch_hints(batch, settings.polarity), keyframes.width, keyframes.height, keyframes.fit)
            for batch in drawings
        ]
        hints = dict(zip(indices, pad_to_latents(torch.cat(fitted)), strict=True))
        placed = place_sketches(hints, *keyframes.layout)
        guide = settings.guide(control_net, placed)
        if settings.strengths.strip():
            own = dict(zip(indices, strengths, strict=True))
            guide.strength = 1.0
            guide.frame_strengths = place_strengths(own, settings.strength, *keyframes.layout)
        guides: dict[Any, SketchControlNet] = {}
        return io.NodeOutput(
            _guided(positive, guide, guides), _guided(negative, guide, guides), _shown(placed, keyframes)
        )


def _more_inputs() -> list[io.Input]:
    return [
        io.String.Input(
            "strengths",
            default="",
            optional=True,
            tooltip="A strength for each drawing in place of strength, such as 0.8, 0.3; one number is for all. Frames "
            "without a drawing keep strength. Empty: strength everywhere.",
        ),
        io.Combo.Input(
            "polarity",
            options=list(POLARITIES),
            default=POLARITIES[0],
            optional=True,
            tooltip="What lines and paper are. auto takes what most of a drawing is for the paper; a blank page is no "
            "sketch then.",
        ),
        io.Float.Input(
            "start_percent",
            default=0.0,
            min=0.0,
            max=1.0,
            step=0.01,
            optional=True,
            tooltip="Share of the sampling from which the drawings guide.",
        ),
        io.Float.Input(
            "end_percent",
            default=1.0,
            min=0.0,
            max=1.0,
            step=0.01,
            optional=True,
            tooltip="Share of the sampling up to which the drawings guide.",
        ),
    ]


@dataclass(frozen=True)
class _Settings:
    """The node's widgets."""

    frame_indices: str
    strength: float
    strengths: str = ""
    polarity: Polarity = "auto"
    start_percent: float = 0.0
    end_percent: float = 1.0

    def check_percents(self) -> None:
        if self.start_percent >= self.end_percent:
            raise ValueError(
                f"start_percent is {self.start_percent:g} and end_percent {self.end_percent:g}; expected a start "
                "before the end. Set strength to 0 for no guiding."
            )

    def guide(self, control_net: SketchControlNet, hints: Tensor) -> SketchControlNet:
        """A copy of the sketch encoder with hints (T, 1, H, W)."""
        percents = (self.start_percent, self.end_percent)
        return control_net.copy().set_cond_hint(hints, self.strength, percents)


def _none(keyframes: Keyframes) -> Tensor:
    """Hints (T, 1, H, W) where no frame has a sketch."""
    height, width = (side * PIXELS_PER_LATENT for side in keyframes.latent_shape[-2:])
    return torch.zeros(1, 1, height, width).expand(sum(keyframes.frames), -1, -1, -1)


def _shown(hints: Tensor, keyframes: Keyframes) -> Tensor:
    """Hints (T, 1, H, W) as an IMAGE of the result's frames."""
    segments = [rows.transpose(0, 1) for rows in hints.split(keyframes.frames)]
    return join_segments(segments, keyframes.loop).movedim(1, -1).expand(-1, -1, -1, 3)


def _guided(
    conditioning: checks.Conditioning, guide: SketchControlNet, guides: dict[Any, SketchControlNet]
) -> checks.Conditioning:
    """Chain the sketch encoder after whatever ControlNet an item has; `guides` keeps one for each of those, so that
    positive and negative share it and ComfyUI can run them in one batch."""
    guided = []
    for text, values in conditioning:
        previous = values.get("control")
        if previous not in guides:
            guides[previous] = guide.copy().set_previous_controlnet(previous)
        guided.append([text, {**values, "control": guides[previous], "control_apply_to_uncond": False}])
    return guided
