"""What training the published sizes needs on one graphics card, counted on meta tensors: no weights, no GPU.

`python scripts/benchmarks/training_memory.py` writes two tables: numbers that train, bytes that stay over the steps,
activations of a step of one segment (512 x 320, 16 frames) with and without gradient checkpointing, and what it takes
on which card; then how many cards it takes with divided weights.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # so that the script runs from anywhere
sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

import benchmark
import torch
from torch import Tensor, nn

from benchmarks.counters import PeakMemory
from tooncrafter_core.models.layers import Layers
from tooncrafter_core.models.unet.context import CrossContext
from tooncrafter_core.models.unet.projector import ImageProjector
from tooncrafter_core.models.unet.sketch_encoder import SketchEncoder
from tooncrafter_core.training.run.low_rank import LoRA
from tooncrafter_core.training.run.recompute import outermost_blocks, recompute_blocks
from tooncrafter_core.training.tasks.denoiser import temporal_layers
from tooncrafter_core.training.tasks.distil import SPARED

CARDS = 24, 40, 80
"""GiB."""
MASTER, GRADIENT, ADAM, AVERAGE, CAST = 4, 4, 8, 4, 2
"""Bytes of a number: float32 weight, its gradient, Adam's two moments, the moving average, autocast's bfloat16 copy."""
SPARED_BY_8_BIT = 6
"""Of Adam's, with moments of 8 bits (Dettmers et al. 2022), which the trainings do not have."""
PROCESSES = 2, 4, 8
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

    @property
    def standing_8_bit(self) -> int:
        """The same with Adam's moments in 8 bits."""
        return self.standing - SPARED_BY_8_BIT * self.trained

    def divided(self, processes: int, adam: int = ADAM) -> int:
        """Bytes of one process that are there over all steps with `sharded`, and what is gathered at once: what is in
        no block, the block that runs and the next one, cast or with gradients. No cast weights are kept."""
        total = sum(p.numel() for p in self.models.parameters())
        blocks = [sum(p.numel() for p in block.parameters()) for block in outermost_blocks(self.models)]
        gathered = total - sum(blocks) + 2 * max(blocks)
        shares = total * MASTER + self.trained * (GRADIENT + adam + AVERAGE)
        return shares // processes + gathered * (MASTER + max(CAST, GRADIENT))


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
    with PeakMemory() as memory:
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


def tables() -> Iterator[str]:
    """Lines of Markdown, GiB."""
    cards = " | ".join(f"{card} GB" for card in CARDS)
    yield f"| training | trains | standing | with 8-bit moments | a step | with checkpointing | {cards} |"
    yield "| " + " | ".join(["---"] * (6 + len(CARDS))) + " |"
    divided = []
    for training in trainings():
        whole = activations(training)
        recompute_blocks(training.models)
        recomputed = activations(training)
        fits = " | ".join(_fits(card * 2**30, training, whole, recomputed) for card in CARDS)
        sizes = (training.standing, training.standing_8_bit, whole, recomputed)
        yield f"| {training.name} | {training.trained / 1e6:.0f} M | {_gib(sizes)} | {fits} |"
        shares = [training.divided(n) for n in PROCESSES]
        needed = " | ".join(_processes(card * 2**30, shares, recomputed) for card in CARDS)
        spared = training.divided(PROCESSES[0], ADAM - SPARED_BY_8_BIT)
        divided.append(f"| {training.name} | {_gib([*shares, spared])} | {needed} |")
    yield ""
    of = " | ".join(f"on {n}" for n in PROCESSES)
    yield f"| divided, with checkpointing | {of} | on {PROCESSES[0]}, 8-bit moments | {cards} |"
    yield "| " + " | ".join(["---"] * (2 + len(PROCESSES) + len(CARDS))) + " |"
    yield from divided[:-1]  # the decoder's weights are not divided


def _gib(sizes: Iterable[int]) -> str:
    return " | ".join(f"{size / 2**30:.1f}" for size in sizes)


def _fits(card: int, training: Trained, whole: int, recomputed: int) -> str:
    """What it takes on one card."""
    room = SHARE * card
    if training.standing + whole < room:
        return "yes"
    if training.standing + recomputed < room:
        return "checkpointing"
    return "checkpointing, 8-bit moments" if training.standing_8_bit + recomputed < room else "no"


def _processes(card: int, shares: Sequence[int], recomputed: int) -> str:
    """The fewest cards."""
    fitting = [n for n, share in zip(PROCESSES, shares, strict=True) if share + recomputed < SHARE * card]
    return str(min(fitting)) if fitting else "no"


def main() -> int:
    argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter).parse_args()
    for line in tables():
        sys.stdout.write(line + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
