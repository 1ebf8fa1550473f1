"""Reads the size of every model off the names and shapes of a checkpoint's tensors."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TypeVar

from torch import Tensor

from ..models.config import (
    INIT_ATTENTION_HEADS,
    REFERENCE_HEADS,
    TOKENS_PER_FRAME,
    AutoencoderConfig,
    ModelConfig,
    ProjectorConfig,
    SketchConfig,
    TextConfig,
    UNetConfig,
    VisionConfig,
)

_OPENCLIP_TEXT_HEADS = {1024: 16, 1280: 20}
_OPENCLIP_VISION_HEADS = {1280: 16, 1408: 16, 1664: 16}
"""Heads of OpenCLIP's H (g) and bigG towers, by width; head counts do not show in shapes."""


Config = TypeVar("Config")


class Shapes:
    """Shapes of the tensors whose names begin with a prefix, looked up by the rest of the name."""

    def __init__(self, tensors: Mapping[str, Tensor], prefix: str = "") -> None:
        self._shapes = {
            name[len(prefix) :]: tuple(tensor.shape) for name, tensor in tensors.items() if name.startswith(prefix)
        }
        self._prefix = prefix

    def __bool__(self) -> bool:
        return bool(self._shapes)

    def __contains__(self, name: str) -> bool:
        return name in self._shapes

    def __call__(self, name: str, dimensions: int) -> tuple[int, ...]:
        """Shape of one tensor; ValueError when it is missing, empty or of another number of dimensions."""
        if name not in self._shapes:
            raise ValueError(f"tensor {self._prefix}{name} is missing, so the model's size cannot be told")
        shape = self._shapes[name]
        if len(shape) != dimensions or 0 in shape:
            raise ValueError(f"tensor {self._prefix}{name} has shape {shape}; expected {dimensions} dimensions, none 0")
        return shape

    def count(self, template: str) -> int:
        """How many consecutive indices from 0 exist of a name such as `block.{}.weight`."""
        index = 0
        while template.format(index) in self:
            index += 1
        return index


def infer_config(tensors: Mapping[str, Tensor]) -> ModelConfig:
    """Tell which parts a checkpoint holds and how large they are.

    Only names (as published, see `checkpoint.normalise`) and shapes are looked at. Head counts of attention do
    not show in the shapes: they follow from the U-Net's head size, which does (`init_attn`), and from OpenCLIP's
    published towers; a sketch encoder alone has heads of 64 channels at the published width, else 16.

    Raises:
        ValueError: a part is there but a tensor its size depends on is missing or has an impossible size.
    """
    unet_shapes = Shapes(tensors, "model.diffusion_model.")
    unet = _unet(unet_shapes) if unet_shapes else None
    head = unet.head_channels if unet else 64
    return ModelConfig(
        unet=unet,
        autoencoder=_part(tensors, "first_stage_model.", _autoencoder),
        projector=_part(tensors, "image_proj_model.", lambda shapes: _projector(shapes, head)),
        text=_part(tensors, "cond_stage_model.model.", lambda shapes: _text(shapes, head)),
        vision=_part(tensors, "embedder.model.visual.", lambda shapes: _vision(shapes, head)),
        sketch=_sketch(Shapes(tensors)) if "input_hint_block.0.weight" in tensors else None,
    )


def _part(tensors: Mapping[str, Tensor], prefix: str, infer: Callable[[Shapes], Config]) -> Config | None:
    shapes = Shapes(tensors, prefix)
    return infer(shapes) if shapes else None


def _heads(width: int, head: int) -> int:
    """Heads of the given size, or of the next smaller one that divides the width; 0 where the size is 0."""
    return next((width // size for size in range(head, 0, -1) if width % size == 0), 0)


def _contracting_path(shapes: Shapes) -> tuple[tuple[int, ...], int, tuple[bool, ...]]:
    """Widths as multiples of the first, residual blocks per level, and which levels attend."""
    base = shapes("input_blocks.0.0.weight", 4)[0]
    levels: list[list[int]] = [[]]
    attends = [False]
    index = 1
    while True:
        if f"input_blocks.{index}.0.op.weight" in shapes:
            levels.append([])
            attends.append(False)
        elif f"input_blocks.{index}.0.in_layers.2.weight" in shapes:
            levels[-1].append(shapes(f"input_blocks.{index}.0.in_layers.2.weight", 4)[0])
            attends[-1] = attends[-1] or f"input_blocks.{index}.1.norm.weight" in shapes
        else:
            break
        index += 1
    if not all(levels):
        raise ValueError("a level of the U-Net's input_blocks has no residual block")
    return tuple(level[0] // base for level in levels), len(levels[0]), tuple(attends)


def _context_dim(shapes: Shapes) -> int:
    return shapes("middle_block.1.transformer_blocks.0.attn2.to_k.weight", 2)[1]


def _unet(shapes: Shapes) -> UNetConfig:
    channel_mult, res_blocks, attends = _contracting_path(shapes)
    model_channels, in_channels = shapes("input_blocks.0.0.weight", 4)[:2]
    return UNetConfig(
        in_channels=in_channels,
        out_channels=shapes("out.2.weight", 4)[0],
        model_channels=model_channels,
        channel_mult=channel_mult,
        res_blocks=res_blocks,
        attention_levels=attends,
        head_channels=shapes("init_attn.0.proj_in.weight", 3)[0] // INIT_ATTENTION_HEADS,
        context_dim=_context_dim(shapes),
    )


def _sketch(shapes: Shapes) -> SketchConfig:
    channel_mult, res_blocks, attends = _contracting_path(shapes)
    model_channels, in_channels = shapes("input_blocks.0.0.weight", 4)[:2]
    widths = [shapes(f"input_hint_block.{2 * i}.weight", 4)[0] for i in range(7)]
    return SketchConfig(
        in_channels=in_channels,
        model_channels=model_channels,
        channel_mult=channel_mult,
        res_blocks=res_blocks,
        attention_levels=attends,
        head_channels=64 if model_channels % 320 == 0 else 16,
        context_dim=_context_dim(shapes),
        hint_channels=shapes("input_hint_block.0.weight", 4)[1],
        hint_widths=tuple(widths),
    )


def _autoencoder(shapes: Shapes) -> AutoencoderConfig:
    channels = shapes("encoder.conv_in.weight", 4)[0]
    levels = shapes.count("encoder.down.{}.block.0.conv1.weight")
    dual_reference = "decoder.mid.block_1.mix_factor" in shapes
    head = {}
    if dual_reference:
        inner = shapes(f"decoder.attn_refinement.{levels - 1}.to_q.weight", 2)[0]
        head["reference_head_channels"] = inner // REFERENCE_HEADS
    return AutoencoderConfig(
        channels=channels,
        channel_mult=tuple(shapes(f"encoder.down.{i}.block.0.conv1.weight", 4)[0] // channels for i in range(levels)),
        res_blocks=shapes.count("encoder.down.0.block.{}.conv1.weight"),
        latent_channels=shapes("decoder.conv_in.weight", 4)[1],
        dual_reference=dual_reference,
        **head,
    )


def _projector(shapes: Shapes, head: int) -> ProjectorConfig:
    _, queries, width = shapes("latents", 3)
    inner = shapes("layers.0.0.to_q.weight", 2)[0]
    return ProjectorConfig(
        frames=queries // TOKENS_PER_FRAME,
        width=width,
        depth=shapes.count("layers.{}.0.to_q.weight"),
        heads=_heads(inner, head),
        inner_dim=inner,
        feed_forward_dim=shapes("layers.0.1.1.weight", 2)[0],
        input_dim=shapes("proj_in.weight", 2)[1],
        output_dim=shapes("proj_out.weight", 2)[0],
    )


def _text(shapes: Shapes, head: int) -> TextConfig:
    length, width = shapes("positional_embedding", 2)
    return TextConfig(
        width=width,
        layers=shapes.count("transformer.resblocks.{}.ln_1.weight"),
        heads=_OPENCLIP_TEXT_HEADS.get(width, _heads(width, head)),
        feed_forward_dim=shapes("transformer.resblocks.0.mlp.c_fc.weight", 2)[0],
        context_length=length,
        vocabulary=shapes("token_embedding.weight", 2)[0],
    )


def _vision(shapes: Shapes, head: int) -> VisionConfig:
    width, _, patch, _ = shapes("conv1.weight", 4)
    tokens = shapes("positional_embedding", 2)[0]
    return VisionConfig(
        width=width,
        layers=shapes.count("transformer.resblocks.{}.ln_1.weight"),
        heads=_OPENCLIP_VISION_HEADS.get(width, _heads(width, head)),
        feed_forward_dim=shapes("transformer.resblocks.0.mlp.c_fc.weight", 2)[0],
        image_size=round((tokens - 1) ** 0.5) * patch,
        patch_size=patch,
    )
