"""What training the published sizes needs on one graphics card, counted on meta tensors: no weights, no GPU.

`python scripts/training_memory.py` writes a table: numbers that train, bytes that stay over the steps, activations of a
step of one segment (512 x 320, 16 frames) with and without gradient checkpointing, and which cards hold it all.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor, nn

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # so that the script runs from anywhere

import benchmark

from tooncrafter_core.models.layers import Layers
from tooncrafter_core.models.unet.context import CrossContext
from tooncrafter_core.models.unet.projector import ImageProjector
from tooncrafter_core.models.unet.sketch_encoder import SketchEncoder
from tooncrafter_core.training.run.low_rank import LoRA
from tooncrafter_core.training.run.recompute import recompute_blocks
from tooncrafter_core.training.tasks.denoiser import temporal_layers
from tooncrafter_core.training.tasks.distil import SPARED

CARDS = 24, 40, 80
"""GiB."""
MASTER, GRADIENT, ADAM, AVERAGE, CAST = 4, 4, 8, 4, 2
"""Bytes of a number: float32 weight, its gradient, Adam's two moments, the moving average, autocast's bfloat16 copy."""
RANK = 64
SHARE = 0.9
"""Of a card that can be used: the rest is workspace and what the allocator cannot place."""


class Trained(NamedTuple):
    """A training at the published size.

    Attributes:
        name: of the training.
        models: weights on the device; those that require gradients train.
        step: what a loss is taken of, for one segment.
    """

    name: str
    models: nn.ModuleList
    step: Callable[[], Tensor]

    @property
    def trained(self) -> int:
        """Numbers that train."""
        return sum(p.numel() for p in self.models.parameters() if p.requires_grad)

    @property
    def standing(self) -> int:
        """Bytes that are there over all steps; what stays frozen has neither gradients nor moments nor an average."""
        total = sum(p.numel() for p in self.models.parameters())
        return total * (MASTER + CAST) + self.trained * (GRADIENT + ADAM + AVERAGE)


def trainings() -> Iterator[Trained]:
    yield _denoiser("`base`, `rectify` II", frozen=lambda _: [])
    yield _denoiser("`rectify` III, IV", frozen=lambda denoiser: list(temporal_layers(denoiser[0])))
    yield _denoiser("`rectify` V", frozen=lambda denoiser: [denoiser[0]])
    yield _denoiser(f"`distil`, rank {RANK}", frozen=list, rank=RANK)
    yield _sketch()
    yield _decoder()


def _denoiser(name: str, frozen: Callable[[nn.ModuleList], list[nn.Module]], rank: int | None = None) -> Trained:
    """U-Net and projector; what is frozen does not train, and a LoRA does."""
    denoise = benchmark.Denoising(_layers())
    models = nn.ModuleList([denoise.model, ImageProjector(benchmark.PUBLISHED.projector, _layers())])
    for module in frozen(models):
        module.requires_grad_(False)
    if rank is not None:
        models.append(_lora(denoise.model, rank))
    picture = _meta(1, 257, benchmark.PUBLISHED.projector.input_dim)

    def step() -> Tensor:
        context = CrossContext(denoise.context.text, models[1](picture), keep=False)
        return denoise.model(denoise.x, denoise.number, denoise.number, context)

    return Trained(name, models, step)


def _lora(unet: nn.Module, rank: int) -> LoRA:
    with torch.device("meta"):
        return LoRA(unet, rank, SPARED).to(torch.bfloat16)


def _sketch() -> Trained:
    """The sketch encoder; the U-Net behind it is frozen."""
    denoise = benchmark.Denoising(_layers())
    denoise.model.requires_grad_(False)
    encoder = SketchEncoder(benchmark.PUBLISHED_SKETCH.sketch, _layers())
    hints = _meta(1, 1, benchmark.FRAMES, benchmark.HEIGHT, benchmark.WIDTH)

    def step() -> Tensor:
        context = CrossContext(denoise.context.text, denoise.context.image, keep=False)
        z = denoise.x[:, : encoder.config.in_channels]
        controls = encoder(z, hints, denoise.number, CrossContext(context.text, keep=False))
        return denoise.model(denoise.x, denoise.number, denoise.number, context, controls)

    return Trained("`sketch`", nn.ModuleList([denoise.model, encoder]), step)


def _decoder() -> Trained:
    """The dual-reference decoder on all frames at once; the discriminator is not counted."""
    decode = benchmark.Decoding(_layers())
    decode.references = [maps.to("meta") for maps in decode.references]
    decode.model.requires_grad_(False)
    decode.model.decoder.requires_grad_(True)
    return Trained("`decoder`", nn.ModuleList([decode.model]), decode)


def activations(training: Trained) -> int:
    """Peak bytes of a step forwards and back beside weights and gradients, which go as soon as they are made here."""
    hooks = [
        parameter.register_post_accumulate_grad_hook(_forget)
        for parameter in training.models.parameters()
        if parameter.requires_grad
    ]
    with benchmark.PeakMemory() as memory:
        training.step().sum().backward()
    for hook in hooks:
        hook.remove()
    return memory.peak


def _forget(parameter: Tensor) -> None:
    parameter.grad = None


def _layers() -> Layers:
    return Layers(device="meta", dtype=torch.bfloat16, attention=benchmark.efficient_attention)


def _meta(*shape: int) -> Tensor:
    return torch.empty(shape, dtype=torch.bfloat16, device="meta")


def table() -> Iterator[str]:
    """Lines of Markdown, GiB."""
    cards = " | ".join(f"{card} GB" for card in CARDS)
    yield f"| training | trains | standing | a step | with checkpointing | {cards} |"
    yield "| " + " | ".join(["---"] * (5 + len(CARDS))) + " |"
    for training in trainings():
        whole = activations(training)
        recompute_blocks(training.models)
        recomputed = activations(training)
        fits = " | ".join(_fits(card * 2**30, training.standing, whole, recomputed) for card in CARDS)
        sizes = " | ".join(f"{size / 2**30:.1f}" for size in (training.standing, whole, recomputed))
        yield f"| {training.name} | {training.trained / 1e6:.0f} M | {sizes} | {fits} |"


def _fits(card: int, standing: int, whole: int, recomputed: int) -> str:
    if standing + whole < SHARE * card:
        return "yes"
    if standing + recomputed < SHARE * card:
        return "with checkpointing"
    return "no"


def main() -> int:
    for line in table():
        sys.stdout.write(line + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
