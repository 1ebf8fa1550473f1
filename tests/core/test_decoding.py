"""Decoding takes the chunks that fit, falls back to smaller ones, and never hands out what is not finite."""

from __future__ import annotations

import logging
from copy import deepcopy
from itertools import pairwise
from typing import Any

import pytest
import torch
from benchmarks.counters import PeakMemory
from comparison import relative_error
from random_checkpoint import MODEL, randomise
from torch import Tensor

from tooncrafter_core import Settings, ToonCrafter, decoding, interpolate
from tooncrafter_core.decoding import decode
from tooncrafter_core.finite import NotFiniteError
from tooncrafter_core.memory import decode_bytes
from tooncrafter_core.models.vae.autoencoder import Autoencoder, reference_pairs
from tooncrafter_core.models.vae.chunking import Chunking, Report, silent
from tooncrafter_core.models.vae.interleaving import interleaved
from tooncrafter_core.stages import autoencoding, film

PLENTY = float("inf")


class Watched(Autoencoder):
    """Remembers in which chunks and in which dtype it decoded."""

    def __init__(self) -> None:
        super().__init__(MODEL.autoencoder)
        self.tried: list[tuple[Chunking, torch.dtype]] = []

    def decode_segments(
        self,
        latents: Tensor,
        references: list[Tensor] | None = None,
        chunking: Chunking = Chunking.WHOLE,
        report: Report = silent,
    ) -> Tensor:
        self.tried.append((chunking, latents.dtype))
        return super().decode_segments(latents, references, chunking, report)

    @property
    def chunkings(self) -> list[Chunking]:
        return [chunking for chunking, _ in self.tried]


@pytest.fixture
def autoencoder() -> Watched:
    torch.manual_seed(0)
    model = Watched().eval().requires_grad_(False)
    randomise(model)
    return model


@pytest.fixture
def latents() -> Tensor:
    return torch.randn(1, 4, 6, 2, 3, generator=torch.Generator().manual_seed(1))


@pytest.fixture
def references(autoencoder: Watched) -> list[Tensor]:
    keyframes = torch.rand(2, 3, 16, 24, generator=torch.Generator().manual_seed(2)) * 2 - 1
    return reference_pairs(autoencoder.encode_keyframes(keyframes).features)


@pytest.fixture
def expected(autoencoder: Watched, latents: Tensor, references: list[Tensor]) -> Tensor:
    """All frames decoded at once, in two passes."""
    frames = autoencoder.decode_segments_twice(latents, references)
    autoencoder.tried.clear()
    return frames


class TooSmall(PeakMemory):
    """A device (the CPU plays it) on which no more than `limit` bytes can be taken."""

    def __init__(self, limit: float) -> None:
        super().__init__("cpu")
        self.limit = limit

    def _born(self, storage: torch.UntypedStorage) -> None:
        super()._born(storage)
        if self.alive > self.limit:
            raise torch.cuda.OutOfMemoryError(f"CUDA out of memory. Tried to allocate {storage.nbytes()} bytes.")


def peak(autoencoder: Autoencoder, latents: Tensor, references: list[Tensor], chunking: Chunking) -> int:
    with PeakMemory("cpu") as memory:
        autoencoder.decode_segments_twice(latents, references, chunking)
    return memory.peak


def test_whole_where_there_is_room(
    autoencoder: Watched, latents: Tensor, references: list[Tensor], expected: Tensor, caplog: pytest.LogCaptureFixture
) -> None:
    assert torch.equal(decode(autoencoder, latents, references, True, lambda: PLENTY), expected)
    assert autoencoder.chunkings == [Chunking.WHOLE] * 2
    assert not caplog.records


@pytest.mark.parametrize("chunking", Chunking)
def test_what_fits_is_taken(
    autoencoder: Watched,
    latents: Tensor,
    references: list[Tensor],
    expected: Tensor,
    chunking: Chunking,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Exactly the estimate is free; smaller chunks are announced."""
    free = decode_bytes(autoencoder.config, *latents.shape[2:], latents.dtype, chunking)
    frames = decode(autoencoder, latents, references, True, lambda: free)
    assert autoencoder.chunkings == [chunking] * 2
    assert relative_error(frames, expected) <= 1e-5
    assert len(caplog.records) == list(Chunking).index(chunking)
    assert all("6 frames of 24 x 16" in record.message for record in caplog.records)


@pytest.mark.parametrize("two_pass", [True, False])
@pytest.mark.parametrize("chunking", Chunking)
def test_how_far_it_is_rises_to_the_end(
    autoencoder: Watched, latents: Tensor, references: list[Tensor], chunking: Chunking, two_pass: bool
) -> None:
    """Never by more than a frame of six at a time."""
    free = decode_bytes(autoencoder.config, *latents.shape[2:], latents.dtype, chunking)
    shares: list[float] = []
    decode(autoencoder, latents, references, two_pass, lambda: free, shares.append)
    steps = [after - before for before, after in pairwise([0.0, *shares])]
    assert min(steps) > 0 and max(steps) < 1 / 6
    assert shares[-1] == pytest.approx(1)


@pytest.mark.parametrize("two_pass", [True, False])
def test_a_long_segment_is_decoded_in_interleaved_groups(
    autoencoder: Watched, references: list[Tensor], two_pass: bool
) -> None:
    """Every frame comes out in its place, as its group alone decodes it; else all frames are one."""
    latents = torch.randn(1, 4, 20, 2, 3, generator=torch.Generator().manual_seed(1))
    shares: list[float] = []
    frames = decode(autoencoder, latents, references, two_pass, lambda: PLENTY, shares.append)
    run = autoencoder.decode_segments_twice if two_pass else autoencoder.decode_segments
    for group in interleaved(20):
        assert torch.equal(frames[:, :, group[1:-1]], run(latents[:, :, group], references)[:, :, 1:-1])
    assert shares == sorted(shares) and shares[-1] == pytest.approx(1)
    autoencoder.tried.clear()
    assert torch.equal(decode(autoencoder, latents, None, False, lambda: PLENTY), autoencoder.decode_segments(latents))
    assert len(autoencoder.tried) == 2


def test_a_try_that_fails_begins_anew(autoencoder: Watched, latents: Tensor, references: list[Tensor]) -> None:
    fails = iter([True])

    def report(share: float) -> None:
        shares.append(share)
        if share > 0.5 and next(fails, False):
            raise torch.cuda.OutOfMemoryError("CUDA out of memory.")

    shares: list[float] = []
    decode(autoencoder, latents, references, False, lambda: PLENTY, report)
    assert autoencoder.chunkings == [Chunking.WHOLE, Chunking.FRAMES]
    again = next(index for index, (before, after) in enumerate(pairwise(shares), start=1) if after < before)
    assert shares[again - 1] > 0.5 and shares[again] < 0.2 and shares[-1] == pytest.approx(1)


def test_a_cpu_decodes_frame_by_frame_what_is_large(
    autoencoder: Watched, latents: Tensor, references: list[Tensor], monkeypatch: pytest.MonkeyPatch
) -> None:
    """However much is free: it is no slower there."""
    need = decode_bytes(autoencoder.config, *latents.shape[2:], latents.dtype, Chunking.WHOLE)
    monkeypatch.setattr(decoding, "_WHOLE_ON_CPU", need - 1)
    decode(autoencoder, latents, references, False, lambda: PLENTY)
    monkeypatch.setattr(decoding, "_WHOLE_ON_CPU", need)
    decode(autoencoder, latents, references, False, lambda: PLENTY)
    assert autoencoder.chunkings == [Chunking.FRAMES, Chunking.WHOLE]


def test_less_than_the_smallest_estimate_is_tried(
    autoencoder: Watched, latents: Tensor, references: list[Tensor]
) -> None:
    decode(autoencoder, latents, references, False, lambda: 0)
    assert autoencoder.chunkings == [Chunking.OFFLOADED]


def test_running_out_of_memory_leads_to_smaller_chunks(
    autoencoder: Watched, latents: Tensor, references: list[Tensor], expected: Tensor, caplog: pytest.LogCaptureFixture
) -> None:
    """What the failed try held is given back before the next one, which would not fit beside it."""
    whole, chunked = (peak(autoencoder, latents, references, c) for c in (Chunking.WHOLE, Chunking.FRAMES))
    assert chunked < 0.6 * whole
    autoencoder.tried.clear()
    with TooSmall(1.1 * chunked) as memory:
        frames = decode(autoencoder, latents, references, True, lambda: PLENTY)
    assert memory.peak > memory.limit
    assert autoencoder.chunkings == [Chunking.WHOLE, Chunking.FRAMES, Chunking.FRAMES]
    assert relative_error(frames, expected) <= 1e-5
    (record,) = caplog.records
    assert record.levelno == logging.WARNING
    assert "No memory to decode 6 frames of 24 x 16" in record.message and "same result" in record.message


def test_no_chunk_fits(autoencoder: Watched, latents: Tensor, references: list[Tensor]) -> None:
    with TooSmall(2**12), pytest.raises(torch.cuda.OutOfMemoryError) as failure:
        decode(autoencoder, latents, references, True, lambda: 5 * 2**20)
    assert autoencoder.chunkings == list(Chunking)
    for words in ("6 frames of 24 x 16 in torch.float32", "MiB of cpu", "5 MiB were free", "smaller size"):
        assert words in str(failure.value)


def test_other_errors_are_not_taken_for_a_lack_of_memory(autoencoder: Watched, references: list[Tensor]) -> None:
    with pytest.raises(RuntimeError, match="channels"):
        decode(autoencoder, torch.randn(1, 5, 2, 2, 3), references, False, lambda: PLENTY)
    assert autoencoder.chunkings == [Chunking.WHOLE]


@pytest.mark.parametrize("value", [float("nan"), float("-inf")])
def test_latents_that_are_not_finite(autoencoder: Watched, latents: Tensor, value: float) -> None:
    latents[0, 0, [1, 3], 0, 0] = value
    with pytest.raises(NotFiniteError, match=r"latents of 2 of 6 frames .* U-Net in bfloat16 or float32\.$"):
        decode(autoencoder, latents, None, True, lambda: PLENTY)
    assert not autoencoder.tried


def overflow_in_half(autoencoder: Autoencoder) -> None:
    """Weights that float16 can hold, and whose results it cannot. The norm that follows takes the size out again."""
    convolution = autoencoder.decoder.conv_in
    for name in ("weight", "bias"):
        convolution.get_parameter(name).mul_(2.0**17)


def test_half_precision_that_overflows_is_decoded_in_float32(
    autoencoder: Watched, latents: Tensor, references: list[Tensor], caplog: pytest.LogCaptureFixture
) -> None:
    overflow_in_half(autoencoder)
    autoencoder.half()
    expected = deepcopy(autoencoder).float().decode_segments(latents.half().float(), references)
    frames = decode(autoencoder, latents.half(), references, False, lambda: PLENTY)
    assert autoencoder.tried == [(Chunking.WHOLE, torch.float16), (Chunking.WHOLE, torch.float32)]
    assert frames.dtype == torch.float32 and frames.isfinite().all()
    assert relative_error(frames, expected) <= 1e-5
    assert {parameter.dtype for parameter in autoencoder.parameters()} == {torch.float16}
    assert [record.message for record in caplog.records] == [
        "Decoding in torch.float16 gave NaN or infinite values. Decoding in torch.float32 instead."
    ]


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float32])
def test_float32_that_overflows_is_an_error(autoencoder: Watched, latents: Tensor, dtype: torch.dtype) -> None:
    autoencoder.decoder.conv_out.get_parameter("bias")[0] = float("nan")
    with pytest.raises(NotFiniteError, match=r"in torch\.float32 gave .* file is damaged"):
        decode(autoencoder.to(dtype), latents.to(dtype), None, False, lambda: PLENTY)
    assert [tried for _, tried in autoencoder.tried] == list(dict.fromkeys([dtype, torch.float32]))


def test_references_that_are_not_finite(autoencoder: Watched, latents: Tensor, references: list[Tensor]) -> None:
    references[0][0, 1, 0, 0, 0] = float("inf")
    with pytest.raises(NotFiniteError, match=r"references hold NaN .* VAE in bfloat16 or float32\.$") as error:
        decode(autoencoder, latents, references, False, lambda: PLENTY)
    assert error.value.model == "VAE"


@pytest.fixture
def run(tiny: ToonCrafter) -> dict[str, Any]:
    """Arguments of a short interpolation of three keyframes."""
    keyframes = torch.rand(3, 3, 16, 24, generator=torch.Generator().manual_seed(3))
    return {"model": tiny, "keyframes": keyframes, "settings": Settings(width=24, height=16, steps=1, frames=6)}


def test_interpolate_decodes_in_the_memory_there_is(run: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    expected, asked = interpolate(**run), list[str]()

    def nothing(device: str) -> float:
        asked.append(device)
        return 0

    monkeypatch.setattr(film, "check_room", lambda *_: None)
    monkeypatch.setattr(autoencoding, "free_bytes", nothing)
    assert (interpolate(**run) - expected).abs().max() <= 1e-4
    assert set(asked) == {"cpu"}
