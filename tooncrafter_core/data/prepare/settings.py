"""What the pipeline is told: one JSON file, every entry of which may be left out.

A stage that needs a file falls away while none is named.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator, BaseModel, Field, model_validator

from ...training.clips.manifest import Domain
from ...training.settings.paths import ExistingFile, Seen
from ...training.settings.run import Positive

Share = Annotated[float, Field(ge=0, le=1)]
Length = Annotated[float, Field(ge=0)]


def _existing_folder(path: Path) -> Path:
    if not os.path.isfile(path / "config.json"):
        raise ValueError(
            f"there is no {path / 'config.json'}; expected a folder that transformers' save_pretrained wrote"
        )
    return path


ModelFolder = Annotated[Seen, AfterValidator(_existing_folder)]


class _Part(BaseModel, frozen=True, extra="forbid", strict=True, allow_inf_nan=False):
    """Settings of one stage."""


class Shots(_Part, frozen=True):
    """PySceneDetect's adaptive detector, and how shots are divided.

    Attributes:
        threshold: how many times the change around it a cut's change is.
        least_change: of a cut, on PySceneDetect's scale of 0 to 255.
        shortest: frames of a stretch; what is shorter falls.
        longest: frames of a stretch; a longer shot becomes several.
    """

    threshold: Annotated[float, Field(gt=0)] = 3.0
    least_change: Length = 15.0
    shortest: Annotated[int, Field(ge=3)] = 24
    longest: Positive = 240

    @model_validator(mode="after")
    def _lengths_fit(self) -> Shots:
        if self.longest < self.shortest:
            raise ValueError(f"longest is {self.longest}; expected {self.shortest} or more, which shortest is")
        return self


class Motion(_Part, frozen=True):
    """Optical flow between neighbouring frames whose shorter side is 144 px.

    Attributes:
        raft: torchvision's weights of RAFT, large or small; None takes DIS.
        least: 95th percentile of the way over 16 frames, px of 144; stretches that nowhere reach it are still.
        most_flicker: mean change of grey, 0 to 255, that is left once a frame is moved along the flow.
    """

    raft: ExistingFile | None = None
    least: Length = 4.0
    most_flicker: Length = 12.0


class TextArea(_Part, frozen=True):
    """Share of the picture that text covers.

    Attributes:
        detector: a text detector with differentiable binarisation, .onnx, as PaddleOCR's; None: no such stage.
        most: share of a picture.
    """

    detector: ExistingFile | None = None
    most: Share = 0.02


class Aesthetics(_Part, frozen=True):
    """LAION's aesthetic predictor.

    Attributes:
        clip: folder of the CLIP model that the head was trained on; None: no such stage.
        head: weights of the linear head.
        least: score, about 1 to 10.
    """

    clip: ModelFolder | None = None
    head: ExistingFile | None = None
    least: float = 4.5

    @model_validator(mode="after")
    def _both_or_none(self) -> Aesthetics:
        if (self.clip is None) != (self.head is None):
            raise ValueError("clip and head belong together; name both or neither")
        return self


class Captions(_Part, frozen=True):
    """An image-to-text model.

    Attributes:
        model: folder of a model such as BLIP-2; None: every clip gets `text`.
        prompt: what the model is to go on from.
        longest: new tokens.
        text: the caption where there is no model.
    """

    model: ModelFolder | None = None
    prompt: str = ""
    longest: Positive = 30
    text: str = ""


class Agreement(_Part, frozen=True):
    """Cosine between CLIP's embeddings of a picture and of its caption.

    Attributes:
        clip: folder of a CLIP model; None: no such stage.
        least: cosine.
    """

    clip: ModelFolder | None = None
    least: Annotated[float, Field(ge=-1, le=1)] = 0.2


class Duplicates(_Part, frozen=True):
    """Perceptual hashes of 64 bits of three pictures.

    Attributes:
        distance: bits of all 192 in which near-duplicates differ at most; -1 keeps them all.
    """

    distance: Annotated[int, Field(ge=-1, le=192)] = 18


class Split(_Part, frozen=True):
    """Whole films are held out.

    Attributes:
        held_out: share of the films, rounded.
        seed: of the choice.
    """

    held_out: Annotated[float, Field(ge=0, lt=1)] = 0.1
    seed: Annotated[int, Field(ge=0)] = 0


class Clips(_Part, frozen=True):
    """The files that are written.

    Attributes:
        side: px of the shorter side; a smaller film keeps its size.
        crf: x264's; less is better and larger.
        domain: what the clip list says of them.
    """

    side: Annotated[int, Field(ge=16)] = 320
    crf: Annotated[int, Field(ge=0, le=51)] = 14
    domain: Domain = "film"


class Settings(BaseModel, frozen=True, extra="forbid", strict=True, allow_inf_nan=False):
    """All stages, in their order."""

    shots: Shots = Shots()
    motion: Motion = Motion()
    text_area: TextArea = TextArea()
    aesthetics: Aesthetics = Aesthetics()
    captions: Captions = Captions()
    agreement: Agreement = Agreement()
    duplicates: Duplicates = Duplicates()
    split: Split = Split()
    clips: Clips = Clips()

    @model_validator(mode="after")
    def _agreement_has_captions(self) -> Settings:
        if self.agreement.clip and not (self.captions.model or self.captions.text):
            raise ValueError("agreement needs captions to compare with: name captions.model or set captions.text")
        return self
