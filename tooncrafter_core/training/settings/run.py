"""What every training is told, read from a JSON file and checked before the first step."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, ClassVar, Literal, TypeVar

from pydantic import BaseModel, Field, ValidationError, model_validator
from pydantic_core import ErrorDetails

from ...inputs import shortened
from ...models.config import PIXELS_PER_LATENT
from ..clips.manifest import Domain
from .paths import ClipList, Folder


class SettingsError(ValueError):
    """A settings file that cannot be used; the message names every wrong entry."""


_LONGEST = 500
"""Characters of what is said of an entry."""

Positive = Annotated[int, Field(ge=1, le=10**9)]
NotNegative = Annotated[int, Field(ge=0, le=10**9)]
Side = Annotated[int, Field(ge=PIXELS_PER_LATENT, le=16384)]
Channels = Annotated[int, Field(ge=1, le=65536)]
Frames = Annotated[int, Field(ge=3, le=10_000)]
Share = Annotated[float, Field(ge=0, le=1)]
Weight = Annotated[float, Field(ge=0, le=1e6)]


class RunSettings(BaseModel, frozen=True, extra="forbid", strict=True, allow_inf_nan=False):
    """What every training is told.

    Attributes:
        output: folder the run writes to; a run that is there already is resumed.
        clips: list of clips, see `manifest`: a file, a folder of them, or several of either. How it is divided into
            files changes nothing, as long as their order is that of the clips.
        domains: domains of the list to train on.
        width: of the training pictures, pixels.
        height: likewise.
        strides: distances between neighbouring frames of a sample, in frames of the clip; each sample draws one.
        steps: optimiser steps.
        batch: samples of one process's pass.
        accumulate: passes whose gradients make one step.
        optimiser: `muon` is Muon for the matrices, and Adam for all else.
        learning_rate: after the warm-up; Muon's steps are scaled to be as large as Adam's.
        warm_up: steps over which the learning rate rises from 0.
        cool_down: last steps, over which it falls to 0.
        ema: decay of the weights' moving average, for each step.
        precision: `no` is float32; bf16 runs the models under autocast, their weights stay float32.
        gradient_checkpointing: make activations anew in the backward pass instead of keeping them.
        sharded: divide weights, gradients, moments and averages over the processes, see `shards`.
        seed: of everything random.
        workers: processes that read clips.
        save_every: steps between two checkpoints.
        sample_every: steps between two strips of samples.
    """

    divisible: ClassVar[bool] = False
    """Whether its weights can be divided over processes."""

    output: Folder
    clips: ClipList
    domains: Annotated[tuple[Domain, ...], Field(min_length=1)] = ("film", "toon")
    width: Side = 512
    height: Side = 320
    strides: Annotated[tuple[Positive, ...], Field(min_length=1)] = (1,)
    steps: Positive
    batch: Positive
    accumulate: Positive = 1
    optimiser: Literal["adam", "muon"] = "adam"
    learning_rate: Annotated[float, Field(gt=0, le=1)]
    warm_up: NotNegative = 0
    cool_down: NotNegative = 0
    ema: Annotated[float, Field(ge=0, lt=1)] = 0.999
    precision: Literal["no", "bf16"] = "no"
    gradient_checkpointing: bool = False
    sharded: bool = False
    seed: Annotated[int, Field(ge=0, lt=2**32)] = 0
    workers: Annotated[int, Field(ge=0, le=1000)] = 1
    save_every: Positive = 500
    sample_every: Positive = 500

    @model_validator(mode="after")
    def _sizes_fit(self) -> RunSettings:
        for name in ("width", "height"):
            if getattr(self, name) % PIXELS_PER_LATENT:
                raise ValueError(f"{name} is {getattr(self, name)}; expected a multiple of {PIXELS_PER_LATENT}")
        if self.warm_up + self.cool_down > self.steps:
            raise ValueError(
                f"warm_up ({self.warm_up}) and cool_down ({self.cool_down}) take more than all {self.steps} steps"
            )
        if self.sharded and not (self.divisible and self.optimiser == "adam"):
            raise ValueError(
                "sharded is true; that is for base, rectify, sketch, joint and distil with adam, leave it out"
            )
        return self


AnySettings = TypeVar("AnySettings", bound=BaseModel)


def read_settings(kind: type[AnySettings], path: Path) -> AnySettings:
    """Read and check a settings file.

    Raises:
        FileNotFoundError: no such file.
        SettingsError: not JSON, or an entry is missing, unknown or wrong.
    """
    if not os.path.isfile(path):
        raise FileNotFoundError(f"there is no settings file {path}; give one with --config")
    try:
        text = path.read_text(encoding="utf-8-sig")
        json.loads(text, object_pairs_hook=_told_once)
    except SettingsError as error:
        raise SettingsError(f"{path} cannot be used: {error}") from error
    except (ValueError, RecursionError) as error:
        raise _no_json(path, error) from error
    try:
        return kind.model_validate_json(text, context={"folder": path.parent.absolute()})
    except ValidationError as error:
        entries = error.errors()
        if entries[0]["type"] == "json_invalid":  # as half of a character is for pydantic, which Python takes
            raise _no_json(path, entries[0]["ctx"]["error"]) from error
        wrong = [f"  {_told(entry)}" for entry in entries if not _follows(entry, entries)]
        raise SettingsError("\n".join([f"{path} cannot be used:", *wrong])) from error


def _no_json(path: Path, why: object) -> SettingsError:
    return SettingsError(f"{path} is not JSON: {why}; expected an object of settings, in UTF-8")


def _told_once(pairs: Sequence[tuple[str, object]]) -> dict[str, object]:
    """An object of JSON; SettingsError where a name is there twice, of which JSON itself would take the last."""
    names = [name for name, _ in pairs]
    if twice := next((name for name in names if names.count(name) > 1), None):
        raise SettingsError(f"{shortened(twice)} is there twice; expected it once, leave one of them out")
    return dict(pairs)


def _follows(entry: ErrorDetails, entries: Sequence[ErrorDetails]) -> bool:
    """Whether it says of a list what comes of its wrong items, which are told: that too few are left."""
    at = entry["loc"]
    return any(other["loc"][: len(at)] == at and other["loc"] != at for other in entries)


def _told(entry: ErrorDetails) -> str:
    """What is wrong with an entry, and what came where that is a number or a text."""
    came = entry["input"]
    said = (
        f"; it is {shortened(came)}" if isinstance(came, int | float | str) and entry["type"] != "value_error" else ""
    )
    told = f"{'.'.join(map(str, entry['loc'])) or 'the settings'}: {entry['msg']}{said}"
    return told if len(told) <= _LONGEST else f"{told[:_LONGEST]} ..."
