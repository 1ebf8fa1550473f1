"""Bytes that a U-Net pass and a decode of the published size read and write after `torch.compile` has fused them.

    python scripts/benchmarks/fused.py

Inductor fuses the graph of 512 x 320 and 16 frames in float16 for a CPU and counts each kernel's buffers, those read
and those written, by `count_bytes`, which its own `metrics.num_bytes_accessed` adds up. The tensors are fake, and code
is not generated: no weights, no compiler, some minutes. `benchmark.py bytes` counts the same work without fusion.
"""

from __future__ import annotations

import argparse
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from unittest.mock import patch

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # so that the script runs from anywhere
sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

import torch
from benchmark import AUTOENCODER, FRAMES, HEIGHT, UNET, WIDTH
from torch import Tensor
from torch._inductor import config
from torch._inductor.graph import GraphLowering
from torch._subclasses.fake_tensor import FakeTensorMode

from tooncrafter_core.models.config import PIXELS_PER_LATENT, TOKENS_PER_FRAME, AutoencoderConfig, UNetConfig
from tooncrafter_core.models.layers import Layers
from tooncrafter_core.models.unet.context import CrossContext
from tooncrafter_core.models.unet.unet import UNet
from tooncrafter_core.models.vae.autoencoder import Autoencoder, reference_pairs

LAYERS = Layers(device="cpu", dtype=torch.float16)
Work = Callable[[], object]


@dataclass(frozen=True)
class Fused:
    """Kernels of a graph and bytes they read and write, by kind."""

    kernels: Counter[str]
    moved: Counter[str]


class _Counted(BaseException):
    """Ends compiling where code would be generated; carries what was counted, past whoever catches errors."""

    def __init__(self, fused: Fused) -> None:
        super().__init__()
        self.fused = fused


def fused_traffic(work: Work) -> Fused:
    """What the first graph that is compiled within `work` moves once Inductor has fused it."""
    with (
        torch.no_grad(),
        config.patch(fx_graph_cache=False),
        patch.object(GraphLowering, "compile_to_module", _count),
    ):
        try:
            work()
        except _Counted as counted:
            return counted.fused
    raise ValueError("nothing was compiled")


def _count(graph: GraphLowering) -> None:
    graph.init_wrapper_code()
    graph._update_scheduler()
    kernels: Counter[str] = Counter()
    moved: Counter[str] = Counter()
    for node in graph.scheduler.nodes:
        size = node.get_read_write_buffers_sizes()  # what `count_bytes` adds up
        if size:
            kind = "matrix products, convolutions, attention" if node.is_extern() else "generated"
            kernels[kind] += 1
            moved[kind] += size
    raise _Counted(Fused(kernels, moved))


def denoising(unet: UNetConfig, height: int, width: int) -> Work:
    """A compiled pass of a U-Net with `FRAMES` latents; sides are those of pixels."""
    model = UNet(unet, LAYERS)
    model.compile(fullgraph=True)
    x = _empty(1, unet.in_channels, FRAMES, height // PIXELS_PER_LATENT, width // PIXELS_PER_LATENT)
    number = torch.empty(1, dtype=torch.long)
    context = CrossContext(_empty(1, 77, unet.context_dim), _empty(1, FRAMES, TOKENS_PER_FRAME, unet.context_dim))
    return lambda: model(x, number, number, context)


def decoding(autoencoder: AutoencoderConfig, height: int, width: int) -> Work:
    """A compiled decode of `FRAMES` frames between two keyframes."""
    model = Autoencoder(autoencoder, LAYERS)
    with torch.no_grad():
        encoded = model.encode_keyframes(_empty(2, 3, height, width))
    model.decoder.compile(fullgraph=True)
    latents = _empty(1, encoded.latents.shape[1], FRAMES, *encoded.latents.shape[2:])
    references = reference_pairs(encoded.features)
    return lambda: model.decode_segments(latents, references)


def _empty(*shape: int) -> Tensor:
    return torch.empty(shape, dtype=LAYERS.dtype)


def lines() -> Iterator[str]:
    """Of the table."""
    yield f"{WIDTH}x{HEIGHT}, {FRAMES} frames, float16, fused{'kernels':>16}{'GiB':>9}"
    with FakeTensorMode():
        works = {
            "U-Net pass": denoising(UNET, HEIGHT, WIDTH),
            "decode once": decoding(AUTOENCODER, HEIGHT, WIDTH),
        }
        for name, work in works.items():
            fused = fused_traffic(work)
            yield _row(name, fused.kernels.total(), fused.moved.total())
            for kind, moved in fused.moved.most_common():
                yield _row("  " + kind, fused.kernels[kind], moved)


def _row(name: str, kernels: int, moved: int) -> str:
    return f"{name:<43}{kernels:>10}{moved / 2**30:>9.2f}"


def main() -> None:
    argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter).parse_args()
    for line in lines():
        sys.stdout.write(line + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
