"""Decodes a segment in the memory there is, and in a wider type where half precision overflows."""

from __future__ import annotations

import logging
from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor

from .finite import NotFiniteError, is_finite
from .memory import REMEDY, LackOfMemoryError, decode_bytes, is_out_of_memory, readable
from .models.config import PIXELS_PER_LATENT, AutoencoderConfig
from .models.vae.autoencoder import Autoencoder
from .models.vae.chunking import Chunking, Report, silent
from .models.vae.interleaving import interleaved

log = logging.getLogger(__name__)

_WHOLE_ON_CPU = 2**30
"""Bytes up to which a CPU decodes all frames at once. Beyond, frame by frame is as fast there, in a third of the memory
or less, which is everyone's."""

Free = Callable[[], float]
"""Bytes that can still be taken on the device."""


def decode(
    autoencoder: Autoencoder,
    latents: Tensor,
    references: list[Tensor] | None,
    two_pass: bool,
    free: Free,
    report: Report = silent,
) -> Tensor:
    """Decode one segment; with references, one of more frames than the decoder was trained for in `interleaved` groups.

    Half precision that overflows is decoded again in float32. bfloat16, which has float32's range too, would show: its
    steps are 1/256. float32 runs everywhere, and chunks take care of its size.

    Args:
        autoencoder: on the device of the latents.
        latents: (1, c, t, h, w), not scaled.
        references: as for `Autoencoder.decode_segments`.
        two_pass: see `Autoencoder.decode_segments_twice`; done in each group.
        free: asked before each try.
        report: told how far it is; a further try of a group begins that anew.

    Returns:
        frames (1, 3, t, 8 h, 8 w) in about [-1, 1], all finite, in the latents' dtype or in float32

    Raises:
        NotFiniteError: latents or references are not finite, or float32 overflows too.
        LackOfMemoryError: the smallest chunks do not fit either.
    """
    _check_latents(latents)
    frames = latents.shape[2]
    groups = [list(range(frames))] if references is None else interleaved(frames)
    if len(groups) == 1:
        return _decode_group(autoencoder, latents, references, two_pass, free, report)
    work, done = sum(map(len, groups)), 0
    decoded: dict[int, Tensor] = {}
    for group in groups:
        part = partial(_of_all, report, done / work, len(group) / work)
        drawn = _decode_group(autoencoder, latents[:, :, group], references, two_pass, free, part)
        decoded.update(zip(group, drawn.unbind(dim=2), strict=True))
        done += len(group)
    return torch.stack([decoded[frame] for frame in range(frames)], dim=2)


def _of_all(report: Report, before: float, share: float, done: float) -> None:
    """Report what is done of a part as what is done of all."""
    report(before + share * done)


def _decode_group(
    autoencoder: Autoencoder,
    latents: Tensor,
    references: list[Tensor] | None,
    two_pass: bool,
    free: Free,
    report: Report,
) -> Tensor:
    """Decode frames together, see `decode`."""
    wide = torch.promote_types(latents.dtype, torch.float32)
    for dtype in dict.fromkeys((latents.dtype, wide)):
        with autoencoder.computing_in(dtype):
            run = autoencoder.decode_segments_twice if two_pass else autoencoder.decode_segments
            frames = _decode_to_fit(
                partial(run, report=report), autoencoder.config, latents.to(dtype), references, free
            )
        if is_finite(frames):
            return frames
        _check_references(references)
        if dtype != wide:
            log.warning("Decoding in %s gave NaN or infinite values. Decoding in %s instead.", dtype, wide)
    raise NotFiniteError(
        f"Decoding in {wide} gave NaN or infinite values. The latents reach {latents.abs().max():.3g}, where 10 "
        "is much; if they come straight from the sampler, the VAE's file is damaged: download it again."
    )


def _decode_to_fit(
    run: Callable[[Tensor, list[Tensor] | None, Chunking], Tensor],
    config: AutoencoderConfig,
    latents: Tensor,
    references: list[Tensor] | None,
    free: Free,
) -> Tensor:
    """Decode in the largest chunks that fit, first by the estimate and then by trying."""
    frames, height, width = latents.shape[2:]
    size = f"{frames} frames of {width * PIXELS_PER_LATENT} x {height * PIXELS_PER_LATENT} in {latents.dtype}"
    for chunking in Chunking:
        need, there = decode_bytes(config, frames, height, width, latents.dtype, chunking), free()
        if chunking is Chunking.WHOLE and latents.device.type == "cpu" and need > _WHOLE_ON_CPU:
            continue
        if need <= there or chunking is Chunking.OFFLOADED:
            try:
                return run(latents, references, chunking)
            except (RuntimeError, MemoryError) as error:
                if not is_out_of_memory(error):
                    raise
            # Out here the error is gone, and with it what the try had allocated.
        lack = f"{size} {chunking.value} take about {readable(need)} of {latents.device}; {readable(there)} were free"
        if chunking is not Chunking.OFFLOADED:
            log.warning("No memory to decode %s. Decoding smaller chunks, with the same result.", lack)
    raise LackOfMemoryError(f"No memory to decode {lack}. {REMEDY}")


def _check_latents(latents: Tensor) -> None:
    finite = torch.isfinite(latents).all(dim=1).flatten(2).all(dim=2).all(dim=0)
    if not finite.all():
        raise NotFiniteError(
            f"The latents of {int((~finite).sum())} of {len(finite)} frames hold NaN or infinite values, so that there "
            "is nothing to decode. Sample again with the U-Net in bfloat16 or float32.",
            "U-Net",
        )


def _check_references(references: list[Tensor] | None) -> None:
    if references is not None and not all(map(is_finite, references)):
        raise NotFiniteError(
            "The references hold NaN or infinite values: the encoder overflowed. Encode the keyframes again with the "
            "VAE in bfloat16 or float32.",
            "VAE",
        )
