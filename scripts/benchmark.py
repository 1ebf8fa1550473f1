"""What the published model costs at 320x512 and 16 frames, counted on meta tensors: no weights, no GPU.

`python scripts/benchmark.py flops` writes floating-point operations and peak activation memory as a table,
`python scripts/benchmark.py bytes` what a U-Net pass and a decode launch and move, see `Traffic`.
`python scripts/benchmark.py run` measures seconds and memory on this machine, see `stage_times.py`.
"""

from __future__ import annotations

import argparse
import sys
import weakref
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import FlopCounterMode

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

Work = Callable[[], object]


def count_flops(work: Work) -> int:
    """Floating-point operations of matrix products and convolutions, attention's among them."""
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        work()
    return counter.get_total_flops()


class PeakMemory(TorchDispatchMode):
    """The most bytes that were alive at once among the tensors made inside this context on one kind of device.

    Values are not copied between meta tensors, which stand for the device, and the CPU. Mapped files do not count.
    """

    def __init__(self, device: str = "meta") -> None:
        super().__init__()
        self.device = device
        self.alive = self.peak = 0

    def __torch_dispatch__(
        self, function: Any, types: Any, arguments: tuple[Any, ...] = (), keywords: dict[str, Any] | None = None
    ) -> Any:
        if function is torch.ops.aten.copy_.default and arguments[0].device != arguments[1].device:
            return arguments[0]
        out = function(*arguments, **(keywords or {}))
        if function is torch.ops.aten.from_file.default:
            return out
        known = set(map(id, _storages((arguments, keywords))))
        for storage in {id(storage): storage for storage in _storages(out)}.values():
            if id(storage) not in known and storage.device.type == self.device:
                self._born(storage)
        return out

    def _born(self, storage: torch.UntypedStorage) -> None:
        size = storage.nbytes()
        self.alive += size
        self.peak = max(self.peak, self.alive)
        weakref.finalize(storage, self._died, size).atexit = False

    def _died(self, size: int) -> None:
        self.alive -= size


def _storages(values: Any) -> list[torch.UntypedStorage]:
    return [leaf.untyped_storage() for leaf in tree_leaves(values) if isinstance(leaf, Tensor)]


def peak_bytes(work: Work, device: str = "meta") -> int:
    """Peak activation memory: everything `work` makes on a kind of device, weights and inputs not among it."""
    with torch.no_grad(), PeakMemory(device) as memory:
        work()
    return memory.peak


class Traffic(TorchDispatchMode):
    """Kernels launched inside this context and bytes they read and write, by ATen operation.

    Each operation that computes or copies counts as one kernel, which reads each of its tensors once, weights among
    them, and writes its results once; in place, it reads and writes what it changes. Views and allocations are free.
    What a kernel does inside (a second reading for a norm's statistics, workspace) is not seen, nor what caches save.

    Attributes:
        kernels: number of calls by name.
        moved: bytes by name.
    """

    def __init__(self) -> None:
        super().__init__()
        self.kernels: Counter[str] = Counter()
        self.moved: Counter[str] = Counter()

    def __torch_dispatch__(
        self, function: Any, types: Any, arguments: tuple[Any, ...] = (), keywords: dict[str, Any] | None = None
    ) -> Any:
        out = function(*arguments, **(keywords or {}))
        name = function.overloadpacket.__name__
        if not (function.is_view or name in _FREE):
            given = {**(keywords or {})}
            given.pop("out", None)  # written, and counted as the result
            tensors = [leaf for leaf in tree_leaves((arguments, given, out)) if isinstance(leaf, Tensor)]
            self.kernels[name] += 1
            self.moved[name] += sum(tensor.nbytes for tensor in tensors)
        return out


_FREE = ("empty", "empty_like", "empty_strided", "new_empty", "_unsafe_view", "detach")
"""Operations that launch nothing, beside views."""


def count_traffic(work: Work) -> Traffic:
    """What `work` launches and moves in inference."""
    with torch.no_grad(), Traffic() as traffic:  # composite operations stay whole in inference mode
        work()
    return traffic


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
        import stage_times  # which counts with this file

        return stage_times.main(sys.argv[2:])
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=[*_TABLES, "run"])
    for line in _TABLES[parser.parse_args().what]():
        sys.stdout.write(line + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
