"""The dual-reference 3D decoder, and the plain image decoder as its special case (SPEC section 5)."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise
from typing import cast

import torch
import torch.nn.functional as F
from einops import rearrange
from torch import Tensor, nn

from ..config import REFERENCE_HEADS, AutoencoderConfig
from ..layers import Layers
from ..layout import contiguous, to_video, writable
from .blocks import ImageResBlock, Middle
from .chunking import Chunking, Part, Report, norm_over, silent, strips


class TimeStack(nn.Module):
    """GroupNorm - SiLU - convolution over three frames, twice; on (b, c, t, h, w)."""

    def __init__(self, layers: Layers, channels: int) -> None:
        super().__init__()
        self.weights = layers.weights
        self.before_block = layers.before_block
        self.in_layers = nn.Sequential(
            layers.group_norm(channels, eps=1e-5), nn.SiLU(inplace=True), layers.temporal_conv(channels, channels)
        )
        self.out_layers = nn.Sequential(
            layers.group_norm(channels, eps=1e-5),
            nn.SiLU(inplace=True),
            nn.Identity(),  # the published file counts a dropout here
            layers.temporal_conv(channels, channels),
        )

    def forward(self, x: Tensor) -> Tensor:
        self.before_block()
        return self.out_layers(self.in_layers(x))

    def over(self, rows: Callable[[], Iterator[Tensor]]) -> Callable[[Tensor], Tensor]:
        """What `forward` does, for strips of rows (b, c, t, some rows, w) of the one video that `rows` reads."""
        norm = norm_over(self.in_layers[0], rows(), self.weights)

        def hidden(strip: Tensor) -> Tensor:
            self.before_block()
            return self.in_layers[1:](norm(strip))

        out_norm = norm_over(self.out_layers[0], map(hidden, rows()), self.weights)
        return lambda strip: self.out_layers[1:](out_norm(hidden(strip)))


class VideoResBlock(ImageResBlock):
    """An image residual block, then a temporal one whose change counts by a learned factor."""

    def __init__(self, layers: Layers, inputs: int, outputs: int) -> None:
        super().__init__(layers, inputs, outputs)
        self.time_stack = TimeStack(layers, outputs)
        self.mix_factor = layers.parameter(1)

    def forward(self, x: Tensor, frames: int = 1) -> Tensor:
        video = contiguous(torch.add, *(to_video(branch, frames) for branch in self.branches(x)))
        change = self.time_stack(video)
        return contiguous(torch.addcmul, video.transpose(1, 2), change.transpose(1, 2), self._share(x)).flatten(0, 1)

    def image(self, x: Tensor) -> Tensor:
        """The part that sees each frame alone."""
        return super().forward(x)

    def mix(self, rows: Callable[[], Iterator[Tensor]]) -> Iterator[Tensor]:
        """The part that mixes frames, on a video that `rows` reads in strips (b, c, t, some rows, w)."""
        stack = self.time_stack.over(rows)
        for strip in rows():
            yield torch.addcmul(strip, stack(strip), self._share(strip))

    def _share(self, x: Tensor) -> Tensor:
        return torch.sigmoid(self.mix_factor.to(x))


class ReferenceAttention(nn.Module):
    """Hybrid attention of shallow decoder layers: every frame attends to both keyframes' features."""

    def __init__(self, layers: Layers, channels: int, head_channels: int) -> None:
        super().__init__()
        inner = REFERENCE_HEADS * head_channels
        self.attention = layers.attention
        self.norm = layers.group_norm(channels, eps=1e-6)
        self.to_q = layers.linear(channels, inner, bias=False)
        self.to_k = layers.linear(channels, inner, bias=False)
        self.to_v = layers.linear(channels, inner, bias=False)
        self.to_out = nn.Sequential(layers.linear(inner, channels))

    def forward(self, x: Tensor, references: Tensor, part: Part) -> Tensor:
        """x (b n, c, h, w) are n frames of a segment, whichever; they share one row of keys, from references
        (b, 2, c, h, w)."""
        batch, height, width = references.shape[0], *x.shape[-2:]
        tokens = rearrange(references.to(x), "b r c h w -> b (r h w) c")
        q = self.to_q(rearrange(self.norm(x), "(b t) c h w -> b (t h w) c", b=batch))
        out = self.to_out(self.attention(q, self.to_k(tokens), self.to_v(tokens), REFERENCE_HEADS))
        return x + rearrange(out, "b (t h w) c -> (b t) c h w", h=height, w=width)


class ReferenceResidual(nn.Module):
    """Residual learning of deep decoder layers: each keyframe's features go to its own frame only."""

    def __init__(self, layers: Layers, channels: int) -> None:
        super().__init__()
        self.conv = layers.conv2d(channels, channels, 1)

    def forward(self, x: Tensor, references: Tensor, part: Part) -> Tensor:
        """x (b n, c, h, w) are the n frames `part` of a segment, references (b, 2, c, h, w)."""
        ends = [(0, 0)] * part.has_first + [(-1, 1)] * part.has_last
        if not ends:
            return x
        video = writable(x).unflatten(0, (len(references), -1))
        for frame, reference in ends:
            video[:, frame].add_(self.conv(references[:, reference].to(x)))
        return video.flatten(0, 1)


FrameStep = Callable[[Tensor, Part], Tensor]
"""Works on some frames (b n, c, h, w) of a segment, on each alone."""

Step = FrameStep | VideoResBlock


class NearestConv(nn.Module):
    """Doubles height and width, then a convolution."""

    def __init__(self, layers: Layers, channels: int) -> None:
        super().__init__()
        self.conv = layers.conv2d(channels, channels, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        return self.conv(F.interpolate(x, scale_factor=2.0, mode="nearest"))


class DecoderLevel(nn.Module):
    """Residual blocks of one resolution and the way to the next finer one; `Decoder` calls them."""

    def __init__(
        self,
        layers: Layers,
        widths: list[int],
        upsample: bool,
        block: type[ImageResBlock],
    ) -> None:
        super().__init__()
        self.block = nn.ModuleList([block(layers, a, b) for a, b in pairwise(widths)])
        self.upsample = NearestConv(layers, widths[-1]) if upsample else None


class Decoder(nn.Module):
    """Latents of whole segments, and two keyframes' feature maps, to frames."""

    def __init__(self, config: AutoencoderConfig, layers: Layers) -> None:
        super().__init__()
        self.config = config
        block = VideoResBlock if config.dual_reference else ImageResBlock
        count = len(config.channel_mult)
        channels = [config.level_channels(level) for level in range(count)]
        self.conv_in = layers.conv2d(config.latent_channels, channels[-1], 3, padding=1)
        self.mid = Middle(layers, channels[-1], block)
        self.up = nn.ModuleList(
            [
                DecoderLevel(
                    layers,
                    [channels[min(level + 1, count - 1)], *[channels[level]] * (config.res_blocks + 1)],
                    upsample=level > 0,
                    block=block,
                )
                for level in range(count)
            ]
        )
        self.norm_out = layers.group_norm(config.channels, eps=1e-6)
        self.conv_out = layers.conv2d(config.channels, 3, 3, padding=1)
        if config.dual_reference:
            self.time_mix_conv = layers.temporal_conv(3, 3)
            self.attn_refinement = nn.ModuleList(
                [
                    ReferenceAttention(layers, width, config.reference_head_channels)
                    if level >= count - 2
                    else ReferenceResidual(layers, width)
                    for level, width in enumerate(channels)
                ]
                + [ReferenceResidual(layers, config.channels)]
            )

    def forward(
        self,
        latents: Tensor,
        references: list[Tensor] | None = None,
        chunking: Chunking = Chunking.WHOLE,
        report: Report = silent,
    ) -> Tensor:
        """Decode (b, c, t, h, w) to (b, 3, t, 8 h, 8 w); see `Autoencoder.decode_segments`."""
        video = rearrange(latents, "b c t h w -> b t c h w")
        steps = list(self._steps(references))
        if chunking is Chunking.WHOLE:
            # A compiled graph runs at once, and would be another one for each function that it tells.
            video = _run_whole(steps, video, silent if torch.compiler.is_compiling() else report)
        else:
            waits = torch.device("cpu") if chunking is Chunking.OFFLOADED else video.device
            video = _run_in_chunks(steps, video, waits, report)
        video = rearrange(video, "b t c h w -> b c t h w")
        return self.time_mix_conv(video) if self.config.dual_reference else video

    def _steps(self, references: list[Tensor] | None) -> Iterator[Step]:
        """All layers in order, but for the very last, which mixes the frames' colours."""
        yield _each_alone(self.conv_in)
        yield _block(self.mid.block_1)
        yield _each_alone(self.mid.attn_1)
        yield _block(self.mid.block_2)
        for index in reversed(range(len(self.up))):
            level = cast(DecoderLevel, self.up[index])
            yield from map(_block, level.block)
            yield from self._refer(index, references)
            if level.upsample is not None:
                yield _each_alone(level.upsample)
        yield _each_alone(lambda x: F.silu(self.norm_out(x), inplace=True))
        yield from self._refer(len(self.up), references)
        yield _each_alone(self.conv_out)

    def _refer(self, index: int, references: list[Tensor] | None) -> Iterator[FrameStep]:
        """What adds the references of one resolution."""
        if references is not None and self.config.dual_reference:
            yield lambda x, part: self.attn_refinement[index](x, references[index], part)


def _each_alone(layer: Callable[[Tensor], Tensor]) -> FrameStep:
    return lambda x, part: layer(x)


def _block(block: nn.Module) -> Step:
    return block if isinstance(block, VideoResBlock) else _each_alone(block)


def _run_whole(steps: Sequence[Step], video: Tensor, report: Report) -> Tensor:
    """Run all steps on a video (b, t, c, h, w), which each of them has whole."""
    batch, frames = video.shape[:2]
    x = video.flatten(0, 1)
    for done, step in enumerate(steps, start=1):
        x = step(x, frames) if isinstance(step, VideoResBlock) else step(x, Part(0, frames, frames))
        report(done / len(steps))
    return x.unflatten(0, (batch, frames))


def _run_in_chunks(steps: Sequence[Step], video: Tensor, waits: torch.device, report: Report) -> Tensor:
    """Run all steps on a video (b, t, c, h, w), which is on the device `waits` but for the chunk worked on."""
    device = video.device
    pending: list[FrameStep] = []
    for done, step in enumerate(steps, start=1):
        pending.append(_each_alone(step.image) if isinstance(step, VideoResBlock) else step)
        if isinstance(step, VideoResBlock) or done == len(steps):
            before, share = (done - len(pending)) / len(steps), len(pending) / len(steps)
            video = _run_frame_by_frame(pending, video, device, waits, _part_of(report, before, share))
            pending = []
        if isinstance(step, VideoResBlock):
            _mix_strip_by_strip(step, video, device)
    return video.to(device)


def _part_of(report: Report, before: float, share: float) -> Report:
    return lambda done: report(before + share * done)


def _run_frame_by_frame(
    steps: Sequence[FrameStep], video: Tensor, device: torch.device, waits: torch.device, report: Report
) -> Tensor:
    """Run image layers; in place where the shape stays, else the new video is on `waits`."""
    batch, frames = video.shape[:2]
    out = video
    for index in range(frames):
        frame = video[:, index].to(device)
        for step in steps:
            frame = step(frame, Part(index, index + 1, frames))
        if frame.shape[1:] != out.shape[2:]:
            out = torch.empty((batch, frames, *frame.shape[1:]), dtype=frame.dtype, device=waits)
        out[:, index] = frame
        del frame  # before the next one is made
        report((index + 1) / frames)
    return out


def _mix_strip_by_strip(block: VideoResBlock, video: Tensor, device: torch.device) -> None:
    """Run the temporal layers of a block, in place."""
    places = strips(video.shape[3], video.shape[1])

    def rows() -> Iterator[Tensor]:
        for place in places:
            yield rearrange(video[..., place, :], "b t c h w -> b c t h w").to(device)

    for place, mixed in zip(places, block.mix(rows), strict=True):
        video[..., place, :] = rearrange(mixed, "b c t h w -> b t c h w")
