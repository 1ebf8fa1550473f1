"""What each training is told beside what all are: one class for each."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import Field, model_validator

from ..clips.manifest import Domain
from ..losses.perceptual import SMALLEST
from .new_model import NewModel
from .paths import ExistingFile, Folder
from .run import Channels, Frames, NotNegative, Positive, RunSettings, Share, Weight


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
    perceptual_weight: Weight = 1.0
    kl_weight: Weight = 1e-6

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
        fewest_frames: half of the batches are cut to so many consecutive frames or more, wherever they lie: runs of
            long segments are as short. None cuts none, as the paper.
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
    frames: Frames = 16
    fewest_frames: Frames | None = None
    drop_text: Share = 0.05
    drop_image: Share = 0.05
    drop_both: Share = 0.05
    timestep_shift: Annotated[float, Field(gt=0, le=1000)] = 1.0

    @model_validator(mode="after")
    def _shares_fit(self) -> DenoiserSettings:
        if self.drop_text + self.drop_image + self.drop_both > 1:
            raise ValueError("drop_text, drop_image and drop_both add up to more than 1")
        return self

    @model_validator(mode="after")
    def _fewest_are_fewer(self) -> DenoiserSettings:
        if self.fewest_frames is not None and self.fewest_frames >= self.frames:
            raise ValueError(f"fewest_frames is {self.fewest_frames} and frames {self.frames}; expected fewer, or none")
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
        drawn_latents: share of passes on latents that the complete model of `start` draws itself between a sample's
            ends, as it does in use, with the settings that its file says it works best with, in place of the encoder's;
            these get no `latent_noise`. The paper has none.
        perceptual: weight files of the perceptual distance, see `perceptual`.
        perceptual_weight: of the perceptual distance in the loss.
        adversarial_from: step from which the discriminator's loss counts.
        discriminator_channels: of the discriminator's first layer.
        reference_head_channels: channels of one head of the reference attention.
    """

    start: ExistingFile
    begin: ExistingFile | None = None
    frames: Frames = 16
    references: bool = True
    drop_references: Share = 0.0
    temporal: bool = True
    latent_noise: Annotated[float, Field(ge=0, le=100)] = 0.0
    drawn_latents: Share = 0.0
    perceptual: Annotated[tuple[ExistingFile, ...], Field(min_length=1)]
    perceptual_weight: Weight = 0.1
    adversarial_from: NotNegative = 0
    discriminator_channels: Channels = 64
    reference_head_channels: Channels = 64

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
    hint_widths: tuple[Channels, Channels, Channels, Channels, Channels, Channels, Channels]
    lines: ExistingFile | None = None


class JointSettings(SketchSettings, frozen=True):
    """Denoiser and sketch encoder together. `domains` and `segments` are of what is drawn without sketches, `batch`
    counts samples of either kind.

    Attributes:
        guided_domains: domains of the clips that are drawn with sketches.
        guided_segments: how many samples of those are kept, see `segments`.
    """

    guided_domains: Annotated[tuple[Domain, ...], Field(min_length=1)]
    guided_segments: Positive

    def of_guided(self) -> JointSettings:
        """The same for what is drawn with sketches."""
        return self.model_copy(update={"domains": self.guided_domains, "segments": self.guided_segments})


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
    guidance_scale: Annotated[float, Field(ge=1, le=100)] = 1.0
    guidance_rescale: Share = 0.7
    begin: ExistingFile | None = None
    rank: Channels = 16

    @model_validator(mode="after")
    def _steps_fit(self) -> DistilSettings:
        if self.teacher_steps % self.student_steps or self.teacher_steps == self.student_steps:
            raise ValueError(
                f"teacher_steps is {self.teacher_steps}; expected 2, 3 or more times student_steps, which is "
                f"{self.student_steps}"
            )
        return self
