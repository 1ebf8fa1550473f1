"""What a training is told: one class for each training, read from a JSON file and checked before the first step."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, ClassVar, Literal, TypeVar

from pydantic import BaseModel, Field, ValidationError, model_validator

from ...models.config import PIXELS_PER_LATENT
from ..clips.manifest import Domain
from ..losses.perceptual import SMALLEST
from ..start.new_model import NewModel
from .paths import ClipList, ExistingFile, Folder


class SettingsError(ValueError):
    """A settings file that cannot be used; the message names every wrong entry."""


Positive = Annotated[int, Field(ge=1)]
NotNegative = Annotated[int, Field(ge=0)]


class RunSettings(BaseModel, frozen=True, extra="forbid"):
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
    domains: tuple[Domain, ...] = ("film", "toon")
    width: Positive = 512
    height: Positive = 320
    strides: Annotated[tuple[Positive, ...], Field(min_length=1)] = (1,)
    steps: Positive
    batch: Positive
    accumulate: Positive = 1
    optimiser: Literal["adam", "muon"] = "adam"
    learning_rate: Annotated[float, Field(gt=0)]
    warm_up: NotNegative = 0
    cool_down: NotNegative = 0
    ema: Annotated[float, Field(ge=0, lt=1)] = 0.999
    precision: Literal["no", "bf16"] = "no"
    gradient_checkpointing: bool = False
    sharded: bool = False
    seed: NotNegative = 0
    workers: NotNegative = 1
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
            raise ValueError("sharded is true; that is for base, rectify, sketch and distil with adam, leave it out")
        return self


def _check_sides(settings: RunSettings) -> None:
    if min(settings.width, settings.height) < SMALLEST:
        raise ValueError(
            f"pictures of {settings.width} x {settings.height} are too small for the perceptual distance; "
            f"expected sides of {SMALLEST} or more"
        )


class AutoencoderSettings(RunSettings, frozen=True):
    """A new model's image autoencoder.

    Attributes:
        model: sizes of the new model.
        start: checkpoint whose weights it begins with, which may have fewer latent channels; None begins with new ones.
        perceptual: weight files of the perceptual distance, see `perceptual`.
        perceptual_weight: of the perceptual distance in the loss.
        kl_weight: of the mean KL divergence of a latent value from a standard normal one.
    """

    model: NewModel
    start: ExistingFile | None = None
    perceptual: tuple[ExistingFile, ...] = ()
    perceptual_weight: Annotated[float, Field(ge=0)] = 1.0
    kl_weight: Annotated[float, Field(ge=0)] = 1e-6

    @model_validator(mode="after")
    def _pictures_are_large_enough(self) -> AutoencoderSettings:
        if self.perceptual:
            _check_sides(self)
        return self


class DenoiserSettings(RunSettings, frozen=True):
    """What the trainings on latents have in common.

    Attributes:
        start: checkpoint to start from, all parts in it.
        segments: how many samples' latents and tower outputs are computed once and kept on disk.
        cache: folder they are kept in; runs with the same frozen models, clips and sizes find each other's there.
        frames: of a segment.
        drop_text: share of samples without a text condition.
        drop_image: share without an image condition.
        drop_both: share without either.
        timestep_shift: 1 draws all timesteps alike, as the paper; more draws more of the noisy ones, at which it is
            decided what moves where.
    """

    divisible: ClassVar[bool] = True

    start: ExistingFile
    segments: Positive
    cache: Folder
    frames: Annotated[int, Field(ge=3)] = 16
    drop_text: Annotated[float, Field(ge=0, le=1)] = 0.05
    drop_image: Annotated[float, Field(ge=0, le=1)] = 0.05
    drop_both: Annotated[float, Field(ge=0, le=1)] = 0.05
    timestep_shift: Annotated[float, Field(gt=0)] = 1.0

    @model_validator(mode="after")
    def _shares_fit(self) -> DenoiserSettings:
        if self.drop_text + self.drop_image + self.drop_both > 1:
            raise ValueError("drop_text, drop_image and drop_both add up to more than 1")
        return self


class BaseSettings(DenoiserSettings, frozen=True):
    """An interpolation prior: every layer of the U-Net and the projector."""


Variant = Literal["I", "II", "III", "IV", "V"]


class RectifySettings(DenoiserSettings, frozen=True):
    """Toon rectification.

    Attributes:
        variant: of the paper's Table 3. I: nothing trains. II: all layers train. III: spatial layers and projector
            train, temporal layers are bypassed in training. IV: the same, temporal layers frozen but run (the
            method). V: the projector trains.
    """

    variant: Variant = "IV"


class DecoderSettings(RunSettings, frozen=True):
    """The dual-reference 3D decoder.

    Attributes:
        start: checkpoint to start from; its plain decoder becomes the 3D decoder.
        begin: checkpoint whose 3D decoder's temporal and reference layers it begins with; None begins with new ones.
        frames: of a sample.
        references: False trains without the keyframes' features (Table 4).
        drop_references: share of passes without the keyframes' features, so that decoding without them stays possible.
            The paper has none.
        temporal: False trains without the temporal layers (Table 4).
        latent_noise: largest standard deviation of noise on the scaled latents; each sample draws its own, 0 or more.
            A small denoiser leaves some noise, which the decoder learns to see through. The paper has none.
        perceptual: weight files of the perceptual distance, see `perceptual`.
        perceptual_weight: of the perceptual distance in the loss.
        adversarial_from: step from which the discriminator's loss counts.
        discriminator_channels: of the discriminator's first layer.
        reference_head_channels: channels of one head of the reference attention.
    """

    start: ExistingFile
    begin: ExistingFile | None = None
    frames: Annotated[int, Field(ge=3)] = 16
    references: bool = True
    drop_references: Annotated[float, Field(ge=0, le=1)] = 0.0
    temporal: bool = True
    latent_noise: Annotated[float, Field(ge=0)] = 0.0
    perceptual: Annotated[tuple[ExistingFile, ...], Field(min_length=1)]
    perceptual_weight: Annotated[float, Field(ge=0)] = 0.1
    adversarial_from: NotNegative = 0
    discriminator_channels: Positive = 64
    reference_head_channels: Positive = 64

    @model_validator(mode="after")
    def _pictures_are_large_enough(self) -> DecoderSettings:
        _check_sides(self)
        return self


class SketchSettings(DenoiserSettings, frozen=True):
    """The sketch encoder.

    Attributes:
        begin: sketch encoder whose weights it begins with; None begins with the U-Net's spatial layers.
        hint_widths: output channels of the eight hint convolutions but the last.
        lines: Anime2Sketch weight file; None draws lines with the built-in extractor.
    """

    begin: ExistingFile | None = None
    hint_widths: tuple[Positive, Positive, Positive, Positive, Positive, Positive, Positive]
    lines: ExistingFile | None = None


Strategy = Literal["progressive", "consistency"]


class DistilSettings(DenoiserSettings, frozen=True):
    """Distillation to a few steps without guidance.

    Attributes:
        strategy: how the student's aims come about, see `tasks.distil.DistilPlayer`. progressive: all steps are the
            teacher's. consistency: the first is the teacher's, the rest the student's own.
        student_steps: steps of the result.
        teacher_steps: steps of the teacher, a multiple of those.
        guidance_scale: of the teacher; more than 1 costs it a second pass.
        guidance_rescale: of the teacher.
        begin: LoRA of an earlier round, which the teacher has merged and the result includes.
        rank: of the LoRA, that of an earlier round not counted.
    """

    strategy: Strategy = "progressive"
    student_steps: Annotated[int, Field(ge=1, le=500)] = 4
    teacher_steps: Annotated[int, Field(ge=2, le=1000)] = 8
    guidance_scale: Annotated[float, Field(ge=1)] = 1.0
    guidance_rescale: Annotated[float, Field(ge=0, le=1)] = 0.7
    begin: ExistingFile | None = None
    rank: Positive = 16

    @model_validator(mode="after")
    def _steps_fit(self) -> DistilSettings:
        if self.teacher_steps % self.student_steps or self.teacher_steps == self.student_steps:
            raise ValueError(
                f"teacher_steps is {self.teacher_steps}; expected 2, 3 or more times student_steps, which is "
                f"{self.student_steps}"
            )
        return self


AnySettings = TypeVar("AnySettings", bound=BaseModel)


def read_settings(kind: type[AnySettings], path: Path) -> AnySettings:
    """Read and check a settings file.

    Raises:
        FileNotFoundError: no such file.
        SettingsError: not JSON, or an entry is missing, unknown or wrong.
    """
    if not path.is_file():
        raise FileNotFoundError(f"there is no settings file {path}; give one with --config")
    try:
        entries = json.loads(path.read_text(encoding="utf-8"))
        return kind.model_validate(entries, context={"folder": path.parent.absolute()})
    except json.JSONDecodeError as error:
        raise SettingsError(f"{path} is not JSON: {error}") from error
    except ValidationError as error:
        wrong = [f"  {'.'.join(map(str, e['loc'])) or 'together'}: {e['msg']}" for e in error.errors()]
        raise SettingsError("\n".join([f"{path} cannot be used:", *wrong])) from error
