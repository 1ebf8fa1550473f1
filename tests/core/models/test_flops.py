"""One segment of the published size costs no more than it must."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import benchmark
from benchmarks.counters import count_flops

from tooncrafter_core.models.vae.chunking import Chunking


def test_unet_forward_and_kept_keys() -> None:
    denoise = benchmark.Denoising(benchmark.counting_layers())
    first, later = count_flops(denoise), count_flops(denoise)
    assert 12e12 < first <= 12.6e12
    assert 12e12 < later < first


def test_encoding_both_keyframes() -> None:
    assert 1.3e12 < count_flops(benchmark.Encoding(benchmark.counting_layers())) <= 1.4e12


def test_decoding_with_references() -> None:
    whole, chunked = (
        count_flops(benchmark.Decoding(benchmark.counting_layers(), chunking))
        for chunking in (Chunking.WHOLE, Chunking.FRAMES)
    )
    assert 37e12 < whole <= 38e12
    assert whole < chunked <= 1.1 * whole


def test_script_writes_a_table(tmp_path: Path) -> None:
    script = Path(benchmark.__file__)
    done = subprocess.run([sys.executable, str(script), "flops"], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert [line.split()[0] for line in done.stdout.splitlines()[1:]] == [
        "U-Net",
        "U-Net",
        "encode",
        "decode",
        "decode",
        "decode",
    ]
