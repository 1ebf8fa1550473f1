"""The spatio-temporal U-Net: noisy latents and keyframe latents in, v-prediction out (SPEC section 2)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
import torch.nn.functional as F
from einops import rearrange
from torch import Tensor, nn

from ..config import INIT_ATTENTION_HEADS, UNetConfig
from ..layers import Layers
from ..layout import to_video
from .blocks import StageFactory, Upsample, embedding_mlp, sinusoid
from .context import CrossContext
from .transformer import StepInputs, TemporalTransformer


class Controls(NamedTuple):
    """What a sketch encoder adds to the U-Net, already times its strength.

    Attributes:
        skips: one (b t, c, h, w) for each stage of the contracting path, finest first.
        middle: (b t, c, h, w), added to the middle block's output.
    """

    skips: Sequence[Tensor]
    middle: Tensor


class UNet(nn.Module):
    """The denoiser.

    Args:
        config: sizes.
        layers: how to make layers.
    """

    def __init__(self, config: UNetConfig, layers: Layers | None = None) -> None:
        super().__init__()
        layers = layers or Layers()
        self.config = config
        make = StageFactory(layers, config, temporal=True)
        self.time_embed = embedding_mlp(layers, config)
        self.fps_embedding = embedding_mlp(layers, config)
        self.input_blocks, skips = make.contracting_path()
        self.init_attn = nn.ModuleList(
            [
                TemporalTransformer(
                    layers,
                    config.model_channels,
                    INIT_ATTENTION_HEADS,
                    config.head_channels,
                    conv_projection=True,
                )
            ]
        )
        self.middle_block = make.middle(skips[-1])
        self.output_blocks = self._expanding_path(layers, make, skips)
        self.out = nn.Sequential(
            layers.group_norm(config.model_channels, eps=1e-5),
            nn.SiLU(),
            layers.conv2d(config.model_channels, config.out_channels, 3, padding=1),
        )

    def _expanding_path(self, layers: Layers, make: StageFactory, skips: list[int]) -> nn.ModuleList:
        stages: list[nn.Module] = []
        remaining = list(skips)
        channels = skips[-1]
        for level in reversed(range(len(self.config.channel_mult))):
            for index in range(self.config.res_blocks + 1):
                stage = make.level(channels + remaining.pop(), level)
                channels = self.config.level_channels(level)
                if level > 0 and index == self.config.res_blocks:
                    stage.append(Upsample(layers, channels))
                stages.append(stage)
        return nn.ModuleList(stages)

    def forward(
        self,
        x: Tensor,
        timesteps: Tensor,
        frame_rates: Tensor,
        context: CrossContext,
        controls: Controls | None = None,
    ) -> Tensor:
        """Predict v for a batch of segments.

        Args:
            x: (b, in_channels, t, h, w): noisy latents, then the keyframe condition channels. Any h and w.
            timesteps: (b,), 0 to 999.
            frame_rates: (b,), frames per second; 5 to 30 is useful, smaller means larger motion.
            context: text and image tokens.
            controls: what a sketch encoder adds.

        Returns:
            v-prediction (b, out_channels, t, h, w)

        Raises:
            ValueError: x has another number of channels or dimensions.
        """
        if x.ndim != 5 or x.shape[1] != self.config.in_channels:
            raise ValueError(
                f"U-Net input has shape {tuple(x.shape)}; expected (b, {self.config.in_channels}, t, h, w)"
            )
        frames = x.shape[2]
        context.check(len(x), frames)
        step = StepInputs(self._embed(timesteps, frame_rates, x.dtype), context, frames)
        h = rearrange(x, "b c t h w -> (b t) c h w")
        skips: list[Tensor] = []
        for index, stage in enumerate(self.input_blocks):
            h = stage(h, step)
            if index == 0:
                h = self.init_attn[0](to_video(h, frames), step)
            skips.append(h)
        h = self.middle_block(h, step)
        if controls is not None:
            h = h + controls.middle
            skips = [skip + control for skip, control in zip(skips, controls.skips, strict=True)]
        for stage in self.output_blocks:
            h = torch.cat([h, skips.pop()], dim=1)
            h = stage(h, step, skips[-1].shape[-2:] if skips else None)
        return rearrange(self.out(h), "(b t) c h w -> b c t h w", t=frames)

    def _embed(self, timesteps: Tensor, frame_rates: Tensor, dtype: torch.dtype) -> Tensor:
        channels = self.config.model_channels
        time = self.time_embed(sinusoid(timesteps, channels).to(dtype))
        return F.silu(time + self.fps_embedding(sinusoid(frame_rates, channels).to(dtype)))
