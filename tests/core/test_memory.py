"""What the host is told about memory is what is counted, and smaller chunks need less."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import benchmark
import psutil
import pytest
import random_checkpoint
import torch
from benchmarks.counters import peak_bytes
from torch import Tensor

from tooncrafter_core.memory import (
    _left_in_control_group,
    control_bytes,
    decode_bytes,
    encode_bytes,
    feature_bytes,
    free_bytes,
    is_out_of_memory,
    unet_bytes,
    video_bytes,
)
from tooncrafter_core.models.config import AutoencoderConfig, UNetConfig
from tooncrafter_core.models.unet.context import CrossContext
from tooncrafter_core.models.unet.sketch_encoder import SketchEncoder
from tooncrafter_core.models.unet.unet import UNet
from tooncrafter_core.models.vae.autoencoder import Autoencoder
from tooncrafter_core.models.vae.chunking import Chunking
from tooncrafter_core.sampling.denoiser import GuidedDenoiser

HONEST = 1.15
"""How much more than is counted an estimate of the published model may say."""

PLAIN = replace(benchmark.AUTOENCODER, dual_reference=False)
NARROW = replace(benchmark.UNET, head_channels=32)
SMALL = random_checkpoint.MODEL.autoencoder


def test_peak_of_a_known_sum() -> None:
    """Two of three tensors are alive together; the input is not counted, and a view is no new memory."""
    x = torch.empty(1024, device="meta")

    def work() -> None:
        a = x + 1
        b = a.view(2, 512) + 1
        del a
        b.exp()

    assert peak_bytes(work) == 2 * x.nbytes


def test_what_waits_on_the_cpu_is_not_counted() -> None:
    waits = torch.empty(4, 1024)

    def work() -> None:
        for row in waits:
            row.copy_(row.to("meta") + 1)

    assert peak_bytes(work) == 2 * waits[0].nbytes


@pytest.mark.parametrize("chunking", Chunking)
def test_decoding_at_the_published_size(chunking: Chunking) -> None:
    decode = benchmark.Decoding(benchmark.half_layers(), chunking)
    estimate = decode_bytes(benchmark.AUTOENCODER, *decode.latents.shape[2:], decode.latents.dtype, chunking)
    assert 1 / HONEST < peak_bytes(decode) / estimate <= 1


@pytest.mark.parametrize("chunking", Chunking)
@pytest.mark.parametrize("config", [benchmark.AUTOENCODER, PLAIN, SMALL], ids=["published", "plain", "small"])
@pytest.mark.parametrize(("frames", "height", "width"), [(2, 320, 512), (8, 64, 72)])
def test_two_passes_never_need_more(
    chunking: Chunking, config: AutoencoderConfig, frames: int, height: int, width: int
) -> None:
    decode = benchmark.Decoding(benchmark.half_layers(), chunking, config, frames, height, width)
    counted = peak_bytes(lambda: decode.model.decode_segments_twice(decode.latents, decode.references, chunking))
    assert counted <= decode_bytes(config, *decode.latents.shape[2:], decode.latents.dtype, chunking)


def test_smaller_chunks_need_much_less() -> None:
    whole, frames, offloaded = (
        decode_bytes(benchmark.AUTOENCODER, 16, 40, 64, torch.float16, chunking) for chunking in Chunking
    )
    assert whole > 3 * frames > 12 * offloaded


def test_encoding() -> None:
    encode = benchmark.Encoding(benchmark.half_layers(), keyframes=1)
    estimate = encode_bytes(benchmark.AUTOENCODER, benchmark.HEIGHT, benchmark.WIDTH, encode.images.dtype)
    assert 1 / HONEST < peak_bytes(encode) / estimate <= 1


def test_one_pass_of_the_unet() -> None:
    denoise = benchmark.Denoising(benchmark.half_layers())
    estimate = unet_bytes(benchmark.UNET, *denoise.x.shape[2:], denoise.x.dtype)
    assert 1 / HONEST < peak_bytes(denoise) / estimate <= 1


def test_both_passes_in_one_batch() -> None:
    denoise = benchmark.Denoising(benchmark.half_layers())
    context = CrossContext.join([denoise.context] * 2)
    z = denoise.x[:, :4]
    denoiser = GuidedDenoiser(denoise.model, z, [context], frame_rate=10, guidance_scale=1.0, guidance_rescale=0.0)
    estimate = unet_bytes(benchmark.UNET, *z.shape[2:], z.dtype, rows=2)
    assert 1 / HONEST < peak_bytes(lambda: denoiser(z, 500)) / estimate <= 1


@pytest.mark.parametrize(
    "config", [benchmark.UNET, random_checkpoint.MODEL.unet, NARROW], ids=["published", "small", "narrow heads"]
)
def test_a_pass_of_another_unet(config: UNetConfig) -> None:
    """What is large is the first temporal transformer where its heads are wide, else the finest level."""
    layers, one = benchmark.half_layers(), torch.empty(1, dtype=torch.long, device="meta")
    model, x = UNet(config, layers), torch.empty(1, 8, 16, 64, 64, dtype=torch.float16, device="meta")
    text, image = (torch.empty(1, *n, config.context_dim, dtype=x.dtype, device="meta") for n in ((77,), (16, 16)))
    counted = peak_bytes(lambda: model(x, one, one, CrossContext(text, image)))
    assert 1 / HONEST < counted / unet_bytes(config, *x.shape[2:], x.dtype) <= 1


def test_what_a_sketch_encoder_adds() -> None:
    """Its outputs wait while the U-Net runs; while it runs itself, it takes less than the U-Net."""
    denoise = benchmark.Denoising(benchmark.half_layers())
    config = benchmark.PUBLISHED_SKETCH.sketch
    encoder, x = SketchEncoder(config, benchmark.half_layers()), denoise.x
    hint = x.new_empty(1, 1, benchmark.FRAMES, benchmark.HEIGHT, benchmark.WIDTH)

    def run() -> None:
        controls = encoder(x[:, :4], hint, denoise.number, denoise.context)
        assert nbytes([*controls.skips, controls.middle]) == control_bytes(config, *x.shape[2:], x.dtype)
        denoise.model(x, denoise.number, denoise.number, denoise.context, controls)

    estimate = unet_bytes(benchmark.UNET, *x.shape[2:], x.dtype) + control_bytes(config, *x.shape[2:], x.dtype)
    assert 1 / HONEST < peak_bytes(run) / estimate <= 1


@pytest.mark.parametrize("config", [benchmark.AUTOENCODER, SMALL], ids=["published", "small"])
def test_what_is_kept_of_a_keyframe(config: AutoencoderConfig) -> None:
    model = Autoencoder(config, benchmark.half_layers())
    encoded = model.encode_keyframes(torch.empty(1, 3, 64, 72, dtype=torch.float16, device="meta"))
    assert nbytes(encoded.features) == feature_bytes(config, 64, 72, torch.float16)


def nbytes(tensors: list[Tensor]) -> int:
    return sum(tensor.nbytes for tensor in tensors)


def test_the_decoders_video_waits_where_it_is_told_to() -> None:
    """What FRAMES takes beyond OFFLOADED."""
    size = (benchmark.AUTOENCODER, 16, 40, 64, torch.float16)
    frames, offloaded = (decode_bytes(*size, chunking) for chunking in (Chunking.FRAMES, Chunking.OFFLOADED))
    assert 0.9 * (frames - offloaded) <= video_bytes(*size) <= 1.1 * frames


def test_free_memory_where_nothing_tells() -> None:
    assert free_bytes("mps") == float("inf")


def test_free_memory_of_the_cpu() -> None:
    """What is taken is free no more."""
    free = free_bytes("cpu")
    assert 2**20 < free <= psutil.virtual_memory().total


def test_a_containers_limit_counts(tmp_path: Path) -> None:
    assert _left_in_control_group(tmp_path) == float("inf")
    for name, text in {"memory.max": "1000", "memory.current": "700", "memory.stat": "anon 500\nfile 200\n"}.items():
        (tmp_path / name).write_text(text)
    assert _left_in_control_group(tmp_path) == 500
    (tmp_path / "memory.max").write_text("max\n")
    assert _left_in_control_group(tmp_path) == float("inf")


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (torch.cuda.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB."), True),
        (RuntimeError("MPS backend out of memory (MPS allocated: 8 GB)"), True),
        (
            RuntimeError("[enforce fail at alloc_cpu.cpp:121] err == 0. DefaultCPUAllocator: can't allocate memory"),
            True,
        ),
        (RuntimeError("[enforce fail at alloc_cpu.cpp:80] data. DefaultCPUAllocator: not enough memory"), True),
        (MemoryError(), True),
        (RuntimeError("Given groups=1, expected weight to be at least 1 at dimension 0"), False),
    ],
    ids=["cuda", "mps", "cpu", "cpu on windows", "python", "another"],
)
def test_what_an_allocation_that_failed_looks_like(error: Exception, expected: bool) -> None:
    assert is_out_of_memory(error) == expected
