"""What the host is told about memory is what is counted, and smaller chunks need less."""

from __future__ import annotations

from dataclasses import replace

import benchmark
import pytest
import random_checkpoint
import torch

from tooncrafter_core.memory import decode_bytes, encode_bytes, free_bytes, is_out_of_memory, unet_bytes
from tooncrafter_core.models.config import AutoencoderConfig
from tooncrafter_core.models.unet.context import CrossContext
from tooncrafter_core.models.vae.chunking import Chunking
from tooncrafter_core.sampling.denoiser import GuidedDenoiser

HONEST = 1.15
"""How much more than is counted an estimate of the published model may say."""

PLAIN = replace(benchmark.AUTOENCODER, dual_reference=False)
SMALL = random_checkpoint.MODEL.autoencoder


def test_peak_of_a_known_sum() -> None:
    """Two of three tensors are alive together; the input is not counted, and a view is no new memory."""
    x = torch.empty(1024, device="meta")

    def work() -> None:
        a = x + 1
        b = a.view(2, 512) + 1
        del a
        b.exp()

    assert benchmark.peak_bytes(work) == 2 * x.nbytes


def test_what_waits_on_the_cpu_is_not_counted() -> None:
    waits = torch.empty(4, 1024)

    def work() -> None:
        for row in waits:
            row.copy_(row.to("meta") + 1)

    assert benchmark.peak_bytes(work) == 2 * waits[0].nbytes


@pytest.mark.parametrize("chunking", Chunking)
def test_decoding_at_the_published_size(chunking: Chunking) -> None:
    decode = benchmark.Decoding(benchmark.half_layers(), chunking)
    estimate = decode_bytes(benchmark.AUTOENCODER, *decode.latents.shape[2:], decode.latents.dtype, chunking)
    assert 1 / HONEST < benchmark.peak_bytes(decode) / estimate <= 1


@pytest.mark.parametrize("chunking", Chunking)
@pytest.mark.parametrize("config", [benchmark.AUTOENCODER, PLAIN, SMALL], ids=["published", "plain", "small"])
@pytest.mark.parametrize(("frames", "height", "width"), [(2, 320, 512), (8, 64, 72)])
def test_two_passes_never_need_more(
    chunking: Chunking, config: AutoencoderConfig, frames: int, height: int, width: int
) -> None:
    decode = benchmark.Decoding(benchmark.half_layers(), chunking, config, frames, height, width)
    counted = benchmark.peak_bytes(
        lambda: decode.model.decode_segments_twice(decode.latents, decode.references, chunking)
    )
    assert counted <= decode_bytes(config, *decode.latents.shape[2:], decode.latents.dtype, chunking)


def test_smaller_chunks_need_much_less() -> None:
    whole, frames, offloaded = (
        decode_bytes(benchmark.AUTOENCODER, 16, 40, 64, torch.float16, chunking) for chunking in Chunking
    )
    assert whole > 3 * frames > 12 * offloaded


def test_encoding() -> None:
    encode = benchmark.Encoding(benchmark.half_layers(), keyframes=1)
    estimate = encode_bytes(benchmark.AUTOENCODER, benchmark.HEIGHT, benchmark.WIDTH, encode.images.dtype)
    assert 1 / HONEST < benchmark.peak_bytes(encode) / estimate <= 1


def test_one_pass_of_the_unet() -> None:
    denoise = benchmark.Denoising(benchmark.half_layers())
    estimate = unet_bytes(benchmark.UNET, *denoise.x.shape[2:], denoise.x.dtype)
    assert 1 / HONEST < benchmark.peak_bytes(denoise) / estimate <= 1


def test_both_passes_in_one_batch() -> None:
    denoise = benchmark.Denoising(benchmark.half_layers())
    context = CrossContext.join([denoise.context] * 2)
    z = denoise.x[:, :4]
    denoiser = GuidedDenoiser(
        denoise.model, z, [[context]], frame_rate=10, guidance_scale=1.0, guidance_rescale=0.0, window=z.shape[2]
    )
    estimate = unet_bytes(benchmark.UNET, *z.shape[2:], z.dtype, rows=2)
    assert 1 / HONEST < benchmark.peak_bytes(lambda: denoiser(z, 500)) / estimate <= 1


def test_free_memory_where_nothing_tells() -> None:
    assert free_bytes("cpu") == float("inf")


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
        (RuntimeError("Given groups=1, expected weight to be at least 1 at dimension 0"), False),
    ],
    ids=["cuda", "mps", "cpu", "cpu on windows", "another"],
)
def test_what_an_allocation_that_failed_looks_like(error: RuntimeError, expected: bool) -> None:
    assert is_out_of_memory(error) == expected
