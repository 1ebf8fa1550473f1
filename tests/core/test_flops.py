"""One segment of the published size costs no more than it must."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import benchmark
import torch

from tooncrafter_core.denoiser import activation_bytes


def test_unet_forward_and_kept_keys() -> None:
    denoise = benchmark.Denoising(benchmark.counting_layers())
    first, later = benchmark.count_flops(denoise), benchmark.count_flops(denoise)
    assert 12e12 < first <= 12.6e12
    assert 12e12 < later < first


def test_encoding_both_keyframes() -> None:
    assert 1.3e12 < benchmark.count_flops(benchmark.Encoding(benchmark.counting_layers())) <= 1.4e12


def test_decoding_with_references() -> None:
    assert 37e12 < benchmark.count_flops(benchmark.Decoding(benchmark.counting_layers())) <= 38e12


def test_peak_memory_of_a_known_sum() -> None:
    """Two of three tensors are alive together; the input is not counted, and a view is no new memory."""
    x = torch.empty(1024, device="meta")

    def work() -> None:
        a = x + 1
        b = a.view(2, 512) + 1
        del a
        b.exp()

    assert benchmark.peak_bytes(work) == 2 * x.nbytes


def test_unet_activations_fit() -> None:
    denoise = benchmark.Denoising(benchmark.half_layers())
    smallest = denoise.x.shape[2:].numel() * benchmark.UNET.model_channels * 2
    assert smallest < benchmark.peak_bytes(denoise) < 2 * 2**30


def test_the_estimate_of_the_pipeline_is_what_is_counted() -> None:
    denoise = benchmark.Denoising(benchmark.half_layers())
    estimate = activation_bytes(benchmark.UNET, *denoise.x.shape[2:], denoise.x.dtype)
    counted = benchmark.peak_bytes(denoise)
    assert counted <= estimate < 1.1 * counted


def test_script_writes_a_table(tmp_path: Path) -> None:
    script = Path(benchmark.__file__)
    done = subprocess.run([sys.executable, str(script), "flops"], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert [line.split()[0] for line in done.stdout.splitlines()[1:]] == ["U-Net", "U-Net", "encode", "decode"]
