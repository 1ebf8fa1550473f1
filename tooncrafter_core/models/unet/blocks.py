"""Residual blocks, resampling and embeddings of the U-Net and the sketch encoder (SPEC section 2)."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..config import DenoiserSizes
from ..layers import BeforeBlock, Layers
from ..layout import contiguous, to_video
from .transformer import SpatialTransformer, StepInputs, TemporalTransformer


def sinusoid(values: Tensor, channels: int) -> Tensor:
    """Sinusoidal embedding, cosines first, period 10,000 (Vaswani et al. 2017, section 3.5).

    Args:
        values: timesteps or frame rates (b,).
        channels: width of the embedding.

    Returns:
        (b, channels), float32
    """
    half = channels // 2
    exponents = torch.arange(half, dtype=torch.float32, device=values.device) / half
    angles = values.float()[:, None] * torch.exp(-math.log(10_000) * exponents)
    return torch.cat([angles.cos(), angles.sin()], dim=-1)


def embedding_mlp(layers: Layers, sizes: DenoiserSizes) -> nn.Sequential:
    """From a sinusoid (b, model_channels) to the embedding of the residual blocks (b, 4 model_channels)."""
    return nn.Sequential(
        layers.linear(sizes.model_channels, sizes.embedding_channels),
        nn.SiLU(),
        layers.linear(sizes.embedding_channels, sizes.embedding_channels),
    )


class TemporalConvStack(nn.Module):
    """Four times GroupNorm - SiLU - convolution over three frames, added to the input; on (b, c, t, h, w)."""

    def __init__(self, layers: Layers, channels: int) -> None:
        super().__init__()
        for index in range(1, 5):
            layers_of_step: list[nn.Module] = [layers.group_norm(channels, eps=1e-5), nn.SiLU()]
            if index > 1:
                layers_of_step.append(nn.Identity())  # the published file counts a dropout here
            layers_of_step.append(layers.temporal_conv(channels, channels))
            self.add_module(f"conv{index}", nn.Sequential(*layers_of_step))

    def forward(self, video: Tensor) -> Tensor:
        """The result has the frames as the batch again: (b t, c, h, w)."""
        h = video
        for conv in self.children():
            h = conv(h)
        return contiguous(torch.add, video.transpose(1, 2), h.transpose(1, 2)).flatten(0, 1)


class ResBlock(nn.Module):
    """Residual block with the embedding added between its convolutions; `temporal` adds the stack over frames."""

    def __init__(self, layers: Layers, inputs: int, outputs: int, embedding: int, temporal: bool) -> None:
        super().__init__()
        self.in_layers = nn.Sequential(
            layers.group_norm(inputs, eps=1e-5), nn.SiLU(), layers.conv2d(inputs, outputs, 3, padding=1)
        )
        self.emb_layers = nn.Sequential(
            nn.Identity(),  # the published file counts a SiLU here, which is done once for all blocks
            layers.linear(embedding, outputs),
        )
        self.out_layers = nn.Sequential(
            layers.group_norm(outputs, eps=1e-5),
            nn.SiLU(),
            nn.Identity(),  # the published file counts a dropout here
            layers.conv2d(outputs, outputs, 3, padding=1),
        )
        self.skip_connection = nn.Identity() if inputs == outputs else layers.conv2d(inputs, outputs, 1)
        self.temopral_conv = TemporalConvStack(layers, outputs) if temporal else None

    def forward(self, x: Tensor, step: StepInputs) -> Tensor:
        h = self.in_layers(x).unflatten(0, (-1, step.frames))
        h = (h + self.emb_layers(step.embedding)[:, None, :, None, None]).flatten(0, 1)
        branches = self.skip_connection(x), self.out_layers(h)
        if self.temopral_conv is None:
            return torch.add(*branches)
        return self.temopral_conv(contiguous(torch.add, *(to_video(branch, step.frames) for branch in branches)))


class Downsample(nn.Module):
    """Halves height and width (rounded up) with a strided convolution."""

    def __init__(self, layers: Layers, channels: int) -> None:
        super().__init__()
        self.op = layers.conv2d(channels, channels, 3, stride=2, padding=1)

    def forward(self, x: Tensor, step: StepInputs) -> Tensor:
        return self.op(x)


class Upsample(nn.Module):
    """Nearest-neighbour resize to the given size, then a convolution."""

    def __init__(self, layers: Layers, channels: int) -> None:
        super().__init__()
        self.conv = layers.conv2d(channels, channels, 3, padding=1)

    def forward(self, x: Tensor, size: torch.Size) -> Tensor:
        return self.conv(F.interpolate(x, size=size, mode="nearest"))


class Stage(nn.ModuleList):
    """Blocks run one after the other; an `Upsample` among them goes to the size of the next skip."""

    def __init__(self, before_block: BeforeBlock, blocks: list[nn.Module]) -> None:
        super().__init__(blocks)
        self.before_block = before_block

    def forward(self, x: Tensor, step: StepInputs, up_size: torch.Size | None = None) -> Tensor:
        for block in self:
            self.before_block()
            x = block(x, up_size if isinstance(block, Upsample) else step)
        return x


class InputConv(nn.ModuleList):
    """The first convolution, in the place of a stage."""

    def __init__(self, layers: Layers, sizes: DenoiserSizes) -> None:
        super().__init__([layers.conv2d(sizes.in_channels, sizes.model_channels, 3, padding=1)])

    def forward(self, x: Tensor, step: StepInputs) -> Tensor:
        return self[0](x)


class StageFactory:
    """Makes the stages both denoisers are built of; `temporal` adds the layers over frames and image tokens."""

    def __init__(self, layers: Layers, sizes: DenoiserSizes, temporal: bool) -> None:
        self.layers = layers
        self.sizes = sizes
        self.temporal = temporal

    def residual(self, inputs: int, outputs: int) -> ResBlock:
        return ResBlock(self.layers, inputs, outputs, self.sizes.embedding_channels, self.temporal)

    def transformers(self, channels: int) -> list[nn.Module]:
        head = self.sizes.head_channels
        made: list[nn.Module] = [SpatialTransformer(self.layers, channels, head, self.sizes.context_dim, self.temporal)]
        if self.temporal:
            made.append(TemporalTransformer(self.layers, channels, channels // head, head))
        return made

    def stage(self, blocks: list[nn.Module]) -> Stage:
        return Stage(self.layers.before_block, blocks)

    def level(self, inputs: int, level: int) -> Stage:
        """A residual block into the level's width and, where the level attends, its transformers."""
        outputs = self.sizes.level_channels(level)
        attends = self.sizes.attention_levels[level]
        return self.stage([self.residual(inputs, outputs), *(self.transformers(outputs) if attends else [])])

    def contracting_path(self) -> tuple[nn.ModuleList, list[int]]:
        """All stages down to the coarsest level, and the width each leaves behind as a skip."""
        sizes = self.sizes
        stages: list[nn.Module] = [InputConv(self.layers, sizes)]
        widths = [sizes.model_channels]
        for level in range(len(sizes.channel_mult)):
            for _ in range(sizes.res_blocks):
                stages.append(self.level(widths[-1], level))
                widths.append(sizes.level_channels(level))
            if level < len(sizes.channel_mult) - 1:
                stages.append(self.stage([Downsample(self.layers, widths[-1])]))
                widths.append(widths[-1])
        return nn.ModuleList(stages), widths

    def middle(self, channels: int) -> Stage:
        return self.stage(
            [
                self.residual(channels, channels),
                *self.transformers(channels),
                self.residual(channels, channels),
            ]
        )
