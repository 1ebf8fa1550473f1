"""What the published model costs at 320x512 and 16 frames, counted on meta tensors: no weights, no GPU.

`python scripts/benchmark.py flops` writes floating-point operations and peak activation memory as a table,
`python scripts/benchmark.py bytes` what a U-Net pass and a decode launch and move, see `Traffic`.
`python scripts/benchmark.py run` measures seconds and memory on this machine, see `benchmarks/stage_times.py`.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from pathlib import Path

import torch
from benchmarks.counters import Work, count_flops, count_traffic, peak_bytes
from torch import Tensor

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # so that the script runs from anywhere

from tooncrafter_core.models.config import (
    PIXELS_PER_LATENT,
    TOKENS_PER_FRAME,
    AutoencoderConfig,
    ModelConfig,
    ProjectorConfig,
    SketchConfig,
    TextConfig,
    UNetConfig,
    VisionConfig,
)
from tooncrafter_core.models.layers import Layers
from tooncrafter_core.models.unet.context import CrossContext
from tooncrafter_core.models.unet.unet import UNet
from tooncrafter_core.models.vae.autoencoder import Autoencoder, reference_pairs
from tooncrafter_core.models.vae.chunking import Chunking

WIDTH, HEIGHT, FRAMES = 512, 320, 16

UNET = UNetConfig(
    in_channels=8,
    out_channels=4,
    model_channels=320,
    channel_mult=(1, 2, 4, 4),
    res_blocks=2,
    attention_levels=(True, True, True, False),
    head_channels=64,
    context_dim=1024,
)
AUTOENCODER = AutoencoderConfig(
    channels=128,
    channel_mult=(1, 2, 4, 4),
    res_blocks=2,
    latent_channels=4,
    dual_reference=True,
    reference_head_channels=64,
)
PUBLISHED = ModelConfig(
    unet=UNET,
    autoencoder=AUTOENCODER,
    projector=ProjectorConfig(
        frames=FRAMES,
        width=1024,
        depth=4,
        heads=12,
        inner_dim=768,
        feed_forward_dim=4096,
        input_dim=1280,
        output_dim=1024,
    ),
    text=TextConfig(width=1024, layers=24, heads=16, feed_forward_dim=4096, context_length=77, vocabulary=49408),
    vision=VisionConfig(width=1280, layers=32, heads=16, feed_forward_dim=5120, image_size=224, patch_size=14),
)
"""Sizes of the published `model.ckpt`."""

PUBLISHED_SKETCH = ModelConfig(
    sketch=SketchConfig(
        in_channels=4,
        model_channels=320,
        channel_mult=(1, 2, 4, 4),
        res_blocks=2,
        attention_levels=(True, True, True, False),
        head_channels=64,
        context_dim=1024,
        hint_channels=1,
        hint_widths=(16, 16, 32, 32, 96, 96, 256),
    )
)
"""Sizes of the published `sketch_encoder.ckpt`."""


def fused_attention(q: Tensor, k: Tensor, v: Tensor, heads: int, mask: Tensor | None = None) -> Tensor:
    """As much memory as a fused kernel takes: its result. On meta tensors PyTorch's own makes the whole matrix."""
    return torch.empty_like(q)


def counting_layers() -> Layers:
    """Attention is counted by its matrix products."""
    return Layers(device="meta")


def half_layers() -> Layers:
    """As a GPU runs it: float16 and fused attention."""
    return Layers(device="meta", dtype=torch.float16, attention=fused_attention)


def efficient_attention(q: Tensor, k: Tensor, v: Tensor, heads: int, mask: Tensor | None = None) -> Tensor:
    """`scaled_dot_product_attention` by the kernel a GPU has, which a meta tensor does not choose; with what it keeps
    for gradients where they are recorded."""
    batch, _, channels = q.shape
    q, k, v = (x.reshape(batch, -1, heads, channels // heads).transpose(1, 2) for x in (q, k, v))
    out = torch.ops.aten._scaled_dot_product_efficient_attention(q, k, v, mask, torch.is_grad_enabled())[0]
    return out.transpose(1, 2).reshape(batch, -1, channels)


def traffic_layers() -> Layers:
    """Float16, and attention as one kernel."""
    return Layers(device="meta", dtype=torch.float16, attention=efficient_attention)


class Denoising:
    """One U-Net forward pass; calling it again finds the context's keys and values kept."""

    def __init__(self, layers: Layers) -> None:
        self.model = UNet(UNET, layers)
        self.x = _meta(layers, 1, UNET.in_channels, FRAMES, HEIGHT // PIXELS_PER_LATENT, WIDTH // PIXELS_PER_LATENT)
        self.number = torch.empty(1, dtype=torch.long, device="meta")
        text = _meta(layers, 1, 77, UNET.context_dim)
        self.context = CrossContext(text, _meta(layers, 1, FRAMES, TOKENS_PER_FRAME, UNET.context_dim))

    def __call__(self) -> Tensor:
        return self.model(self.x, self.number, self.number, self.context)


class Encoding:
    """Encoding keyframes once: both of a segment, or as many as given."""

    def __init__(self, layers: Layers, keyframes: int = 2) -> None:
        self.model = Autoencoder(AUTOENCODER, layers)
        self.images = _meta(layers, keyframes, 3, HEIGHT, WIDTH)

    def __call__(self) -> object:
        return self.model.encode_keyframes(self.images)


class Decoding:
    """One decode of a segment with both keyframes' features, which wait on the CPU; the published sampler does two."""

    def __init__(
        self,
        layers: Layers,
        chunking: Chunking = Chunking.WHOLE,
        config: AutoencoderConfig = AUTOENCODER,
        frames: int = FRAMES,
        height: int = HEIGHT,
        width: int = WIDTH,
    ) -> None:
        self.model = Autoencoder(config, layers)
        self.chunking = chunking
        with torch.no_grad():
            encoded = self.model.encode_keyframes(_meta(layers, 2, 3, height, width))
        self.references = [torch.empty_like(maps, device="cpu") for maps in reference_pairs(encoded.features)]
        self.latents = _meta(layers, 1, encoded.latents.shape[1], frames, *encoded.latents.shape[2:])

    def __call__(self) -> Tensor:
        return self.model.decode_segments(self.latents, self.references, self.chunking)


def _meta(layers: Layers, *shape: int) -> Tensor:
    return torch.empty(shape, dtype=layers.dtype, device="meta")


def flops_table() -> Iterator[str]:
    """Lines of the report on operations and memory."""
    yield f"{WIDTH}x{HEIGHT}, {FRAMES} frames, one segment{'TFLOP':>14}{'peak fp16 activations':>24}"
    denoise, measured = Denoising(counting_layers()), Denoising(half_layers())
    for name in ("U-Net forward", "U-Net forward, kept keys"):
        yield _row(name, count_flops(denoise), peak_bytes(measured))
    yield _row("encode two keyframes", count_flops(Encoding(counting_layers())), peak_bytes(Encoding(half_layers())))
    for chunking in Chunking:
        # The video on the CPU costs no operations, and cannot be counted: nothing comes there from meta tensors.
        counted = Chunking.FRAMES if chunking is Chunking.OFFLOADED else chunking
        flops = count_flops(Decoding(counting_layers(), counted))
        yield _row(f"decode once, {chunking.name.lower()}", flops, peak_bytes(Decoding(half_layers(), chunking)))


def _row(name: str, flops: int, peak: int) -> str:
    return f"{name:<31}{flops / 1e12:>14.3f}{peak / 2**20:>20.0f} MiB"


def bytes_table() -> Iterator[str]:
    """Lines of the report on kernels and bytes; the pass is one of the later ones, with kept keys."""
    yield f"{WIDTH}x{HEIGHT}, {FRAMES} frames, one segment, float16{'kernels':>10}{'GiB':>9}"
    for name, work in traffic_of_stages():
        traffic = count_traffic(work)
        yield _traffic_row(name, traffic.kernels.total(), traffic.moved.total())
        for operation, moved in traffic.moved.most_common():
            if moved > 0.005 * traffic.moved.total():
                yield _traffic_row("  " + operation, traffic.kernels[operation], moved)


def traffic_of_stages() -> Iterator[tuple[str, Work]]:
    """A U-Net pass that finds keys and values kept, and a decode."""
    denoise = Denoising(traffic_layers())
    denoise()
    yield "U-Net pass", denoise
    decode = Decoding(traffic_layers())
    decode.references = [maps.to("meta") for maps in decode.references]  # their way to the device is no kernel's
    yield "decode once", decode


def _traffic_row(name: str, kernels: int, moved: int) -> str:
    return f"{name:<43}{kernels:>10}{moved / 2**30:>9.2f}"


_TABLES = {"flops": flops_table, "bytes": bytes_table}


def main() -> int:
    if sys.argv[1:2] == ["run"]:
        from benchmarks import stage_times  # which counts with this file

        return stage_times.main(sys.argv[2:])
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=[*_TABLES, "run"])
    for line in _TABLES[parser.parse_args().what]():
        sys.stdout.write(line + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
