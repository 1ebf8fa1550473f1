"""The sizes of every model, checked when they are made. `infer.py` reads them off a checkpoint."""

from __future__ import annotations

from dataclasses import dataclass, fields

from ..inputs import shortened

TOKENS_PER_FRAME = 16
"""Image tokens the projector makes for each frame (SPEC section 2)."""

INIT_ATTENTION_HEADS = 8
"""Heads of the U-Net's first temporal transformer, whatever its width (SPEC section 2)."""

REFERENCE_HEADS = 8
"""Heads of the decoder's attention to the keyframes (SPEC section 5)."""

LATENT_SCALE = 0.18215
"""Latents are the autoencoder's posterior mean times this, as in Stable Diffusion 1 and 2."""

PIXELS_PER_LATENT = 8
"""The autoencoder's downsampling factor: one latent pixel is 8 x 8 image pixels."""


_LARGEST = 2**20
_MOST_LAYERS = 1000
_COUNTS = ("layers", "depth", "res_blocks")


class _Sizes:
    """Base of the configs: every integer field is at least 1, and no larger than a model's can be."""

    def __post_init__(self) -> None:
        for field in fields(self):  # type: ignore[arg-type]
            value = getattr(self, field.name)
            sizes = value if isinstance(value, tuple) else (value,)
            most = _MOST_LAYERS if field.name in _COUNTS else _LARGEST
            if not sizes or any(not isinstance(size, bool) and not 1 <= size <= most for size in sizes):
                raise ValueError(
                    f"{type(self).__name__}.{field.name} is {shortened(value)}; expected integers >= 1, and <= {most}"
                )

    def _require_divisible(self, what: str, value: int, by: int) -> None:
        if value % by:
            raise ValueError(f"{type(self).__name__}: {what} is {value}, which is not a multiple of {by}")


@dataclass(frozen=True)
class DenoiserSizes(_Sizes):
    """What the U-Net and the sketch encoder have in common: an SD 2.x U-Net's contracting path.

    Attributes:
        in_channels: channels of the input latents.
        model_channels: channels of the first level.
        channel_mult: channels of each level, as multiples of `model_channels`.
        res_blocks: residual blocks per level.
        attention_levels: levels that have transformers (level i works at 1 / 2^i of the latent size).
        head_channels: channels of one attention head.
        context_dim: width of the text and image tokens.
    """

    in_channels: int
    model_channels: int
    channel_mult: tuple[int, ...]
    res_blocks: int
    attention_levels: tuple[bool, ...]
    head_channels: int
    context_dim: int

    def __post_init__(self) -> None:
        super().__post_init__()
        if len(self.attention_levels) != len(self.channel_mult):
            raise ValueError(
                f"attention_levels has {len(self.attention_levels)} entries and channel_mult "
                f"{len(self.channel_mult)}; expected one of each per level"
            )
        self._require_divisible("model_channels", self.model_channels, 32)
        for level, attends in enumerate(self.attention_levels):
            if attends:
                channels = self.level_channels(level)
                self._require_divisible(f"width of level {level}", channels, self.head_channels)

    @property
    def embedding_channels(self) -> int:
        return 4 * self.model_channels

    def level_channels(self, level: int) -> int:
        return self.model_channels * self.channel_mult[level]


@dataclass(frozen=True)
class UNetConfig(DenoiserSizes):
    """The spatio-temporal U-Net (SPEC section 2).

    Attributes:
        out_channels: channels of the v-prediction.
    """

    out_channels: int


@dataclass(frozen=True)
class SketchConfig(DenoiserSizes):
    """The sketch encoder (SPEC section 6).

    Attributes:
        hint_channels: channels of the sketch image.
        hint_widths: output channels of the eight hint convolutions but the last.
    """

    hint_channels: int
    hint_widths: tuple[int, ...]

    def __post_init__(self) -> None:
        super().__post_init__()
        if len(self.hint_widths) != 7:
            raise ValueError(f"hint_widths has {len(self.hint_widths)} entries; expected 7")

    def check_fits(self, unet: UNetConfig) -> None:
        """Raise ValueError unless what this sketch encoder adds has the sizes of this U-Net's maps."""
        sizes = {name: name for name in ("model_channels", "channel_mult", "res_blocks", "context_dim")}
        for name, other in {"in_channels": "out_channels", **sizes}.items():
            found, expected = getattr(self, name), getattr(unet, other)
            if found != expected:
                raise ValueError(
                    f"The sketch encoder belongs to another model: its {name} is {found}, the model's {expected}. Load "
                    "the sketch encoder that was published with the model's file."
                )


@dataclass(frozen=True)
class AutoencoderConfig(_Sizes):
    """The image encoder and its decoder (SPEC section 5).

    Attributes:
        channels: channels of the finest level.
        channel_mult: channels of each level, as multiples of `channels`.
        res_blocks: residual blocks per level of the encoder; the decoder has one more.
        latent_channels: channels of a latent.
        dual_reference: the decoder has temporal layers and reads the keyframes' feature maps; False is the
            plain image decoder of DynamiCrafter's interpolation checkpoint.
        reference_head_channels: channels of one head of the reference attention.
    """

    channels: int
    channel_mult: tuple[int, ...]
    res_blocks: int
    latent_channels: int
    dual_reference: bool
    reference_head_channels: int = 64

    def __post_init__(self) -> None:
        super().__post_init__()
        self._require_divisible("channels", self.channels, 32)
        if 2 ** (len(self.channel_mult) - 1) != PIXELS_PER_LATENT:
            raise ValueError(
                f"AutoencoderConfig.channel_mult has {len(self.channel_mult)} levels; expected 4 "
                f"(one latent pixel is {PIXELS_PER_LATENT} image pixels wide)"
            )

    def level_channels(self, level: int) -> int:
        return self.channels * self.channel_mult[level]

    @property
    def feature_channels(self) -> list[int]:
        """Channels of the five feature maps that the encoder hands out, see `Encoded`."""
        return [*map(self.level_channels, range(len(self.channel_mult))), self.channels]


@dataclass(frozen=True)
class ProjectorConfig(_Sizes):
    """The image-context projector (SPEC section 3).

    Attributes:
        frames: frames the learned queries were trained for.
        width: width of the queries.
        depth: number of layers.
        heads: attention heads.
        inner_dim: width of queries, keys and values in attention.
        feed_forward_dim: hidden width of the feed-forward.
        input_dim: width of the vision tokens.
        output_dim: width of the image tokens, the U-Net's `context_dim`.
    """

    frames: int
    width: int
    depth: int
    heads: int
    inner_dim: int
    feed_forward_dim: int
    input_dim: int
    output_dim: int

    def __post_init__(self) -> None:
        super().__post_init__()
        self._require_divisible("inner_dim", self.inner_dim, self.heads)


@dataclass(frozen=True)
class TowerConfig(_Sizes):
    """What OpenCLIP's two towers have in common.

    Attributes:
        width: width of the tokens.
        layers: transformer blocks in the file (the text tower runs all but the last).
        heads: attention heads.
        feed_forward_dim: hidden width of the feed-forward.
    """

    width: int
    layers: int
    heads: int
    feed_forward_dim: int

    def __post_init__(self) -> None:
        super().__post_init__()
        self._require_divisible("width", self.width, self.heads)


@dataclass(frozen=True)
class TextConfig(TowerConfig):
    """OpenCLIP text tower; `context_length` tokens a prompt, `vocabulary` entries."""

    context_length: int
    vocabulary: int

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.layers < 2:
            raise ValueError(f"TextConfig.layers is {self.layers}; expected at least 2 (the last is not run)")


@dataclass(frozen=True)
class VisionConfig(TowerConfig):
    """OpenCLIP vision tower; square images of `image_size` pixels in patches of `patch_size`."""

    image_size: int
    patch_size: int

    def __post_init__(self) -> None:
        super().__post_init__()
        self._require_divisible("image_size", self.image_size, self.patch_size)


@dataclass(frozen=True)
class ModelConfig:
    """The parts one checkpoint holds; None where the file lacks the part."""

    unet: UNetConfig | None = None
    autoencoder: AutoencoderConfig | None = None
    projector: ProjectorConfig | None = None
    text: TextConfig | None = None
    vision: VisionConfig | None = None
    sketch: SketchConfig | None = None
