"""Segments with everything frozen computed once: latents, vision and text tokens, line drawings; kept on disk."""

from __future__ import annotations

import hashlib
import logging
import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import zip_longest
from pathlib import Path
from typing import NamedTuple

import torch
from accelerate import Accelerator
from einops import rearrange
from filelock import FileLock
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor
from torch.utils.data import DataLoader
from tqdm import tqdm

from ...files.checkpoint import PREFIXES, Checkpoint
from ...files.tokenizer import tokenize
from ...files.whole import check_file
from ...models.clip.text_tower import TextTower
from ...models.clip.vision_tower import VisionTower, preprocess
from ...models.config import LATENT_SCALE
from ...models.vae.autoencoder import Autoencoder
from ..run.export import write_checkpoint
from ..settings.tasks import DenoiserSettings, SketchSettings
from .contents import contents_digest
from .draws import Batch, Draws, collate
from .room import check_room, tensor_bytes
from .segments import Segments

log = logging.getLogger(__name__)

_ENCODED_AT_ONCE = 4
"""Segments to a batch, and frames to a pass of the image encoder: more are slower on a CPU, whose caches they fill."""

_FROZEN = ("autoencoder", "text", "vision")

Lines = Callable[[Tensor], Tensor]
"""Frames (n, 3, H, W) in [0, 1] to white lines on black (n, 1, H, W)."""


class Towers(NamedTuple):
    """The frozen models whose outputs are kept."""

    autoencoder: Autoencoder
    text: TextTower
    vision: VisionTower

    @torch.no_grad()
    def look(self, images: Tensor) -> Tensor:
        """Vision tokens (n, m, width) of images (n, 3, H, W) in [-1, 1]."""
        return self.vision(preprocess(images, self.vision.config.image_size))

    @torch.no_grad()
    def read(self, captions: Sequence[str]) -> Tensor:
        """Text tokens (n, 77, d); what a long caption has beyond one row of tokens is cut."""
        device = next(self.text.parameters()).device
        return self.text(torch.cat([tokenize(caption)[:1] for caption in captions]).to(device))

    @torch.no_grad()
    def encode(self, video: Tensor) -> Tensor:
        """Scaled latents (b, c, t, h, w) of video (b, 3, t, H, W) in [-1, 1]."""
        images = rearrange(video, "b c t h w -> (b t) c h w")
        encoded = [self.autoencoder.encode_keyframes(some).latents for some in images.split(_ENCODED_AT_ONCE)]
        latents = torch.cat(encoded) * LATENT_SCALE
        return rearrange(latents, "(b t) c h w -> b c t h w", t=video.shape[2])


def cached_segments(
    settings: DenoiserSettings,
    start: Checkpoint,
    draws: Draws,
    accelerator: Accelerator,
    lines: Lines | None = None,
) -> Segments:
    """The first `settings.segments` draws, from disk where an earlier run has kept them; all processes compute them.

    A file belongs to the frozen models' weights, the list of clips, what these clips hold and the drawing's settings:
    another of any of these makes another file. Several runs may share a cache: whichever is done first writes the file.

    Raises:
        ValueError: what was kept is damaged, the folder cannot be written to, the clips cannot be read, or memory
            cannot hold so many segments.
        OSError: they cannot be written.
    """
    path = settings.cache / f"segments-{_key(settings, start, draws, lines)}.safetensors"
    check_file(path)
    _keep(path, settings, start, draws, accelerator, lines)
    tensors = _read(path)
    return Segments(*(tensors[name] for name in Segments._fields))


@dataclass(frozen=True)
class _Share:
    """Every so manieth batch of so many draws: one process's."""

    draws: int
    process: int
    processes: int

    def __iter__(self) -> Iterator[list[int]]:
        return (list(range(first, min(first + _ENCODED_AT_ONCE, self.draws))) for first in self._firsts)

    def __len__(self) -> int:
        return len(self._firsts)

    @property
    def _firsts(self) -> range:
        return range(self.process * _ENCODED_AT_ONCE, self.draws, self.processes * _ENCODED_AT_ONCE)


def _keep(
    path: Path,
    settings: DenoiserSettings,
    start: Checkpoint,
    draws: Draws,
    accelerator: Accelerator,
    lines: Lines | None,
) -> None:
    """Compute and write them where they are not there yet, each process its share; the first one joins the shares.

    The batches, and so the bits, are those of one process. Other runs may write the same at any time: every process
    looks for itself, and all come by the same meetings whatever they have seen.
    """
    world, rank = accelerator.num_processes, accelerator.process_index
    used = min(world, math.ceil(settings.segments / _ENCODED_AT_ONCE))
    shares = [path.with_name(f"{path.stem}-{each}-of-{world}.safetensors") for each in range(used)]
    if rank < len(shares) and not _there(path, shares[rank]):
        models = towers(start, accelerator.device)
        if settings.precision == "bf16":
            # What a CPU's bfloat16 convolutions work on.
            models.autoencoder.encoder.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        kept = _compute(settings, models, draws, _Share(settings.segments, rank, world), lines, accelerator)
        with _writing(path):
            if not _there(path, shares[rank]):
                write_checkpoint(kept._asdict(), shares[rank])
    accelerator.wait_for_everyone()
    if accelerator.is_main_process:
        with _writing(path):
            if not path.exists():
                _join(path, shares)
            for share in shares:
                share.unlink(missing_ok=True)
    accelerator.wait_for_everyone()


def _there(path: Path, share: Path) -> bool:
    """Whether somebody has made this share, or all of them."""
    return share.exists() or path.exists()


def _writing(path: Path) -> FileLock:
    """One process at a time, of this run or of another, writes into the cache; the system ends the lock with it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    return FileLock(path.with_name("writing.lock"))


def _join(path: Path, shares: Sequence[Path]) -> None:
    """Shares of which each has every so manieth batch, as one file in the order of the draws."""
    if len(shares) == 1:
        shares[0].replace(path)
        return
    parts = [_read(share) for share in shares]
    tensors = {}
    for name in Segments._fields:
        batches = (part[name].split(_ENCODED_AT_ONCE) for part in parts)
        tensors[name] = torch.cat([batch for turn in zip_longest(*batches) for batch in turn if batch is not None])
    write_checkpoint(tensors, path)


def _read(path: Path) -> dict[str, Tensor]:
    """What was kept; ValueError where it is damaged."""
    try:
        return load_file(path)
    except SafetensorError as error:
        raise ValueError(f"{path} is damaged ({error}); take it away, and its segments are computed again") from error


def towers(start: Checkpoint, device: torch.device) -> Towers:
    """The frozen models of a checkpoint, in float32."""
    return Towers(*(start.load(part).float().to(device) for part in _FROZEN))  # type: ignore[arg-type]


def _key(settings: DenoiserSettings, start: Checkpoint, draws: Draws, lines: Lines | None) -> str:
    digest = hashlib.sha256(b"".join(file.read_bytes() for file in settings.clips))
    digest.update(contents_digest(draws.stream.clips))
    drawn = (settings.domains, settings.width, settings.height, settings.frames, settings.strides, settings.seed)
    digest.update(repr((drawn, settings.segments, settings.precision, lines is not None)).encode())
    if isinstance(settings, SketchSettings) and settings.lines is not None:
        digest.update(settings.lines.read_bytes())
    for name in sorted(start.tensors):
        if name.startswith(tuple(PREFIXES[part] for part in _FROZEN)) and not name.startswith(
            "first_stage_model.decoder."
        ):
            digest.update(start.tensors[name].flatten().view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()[:16]


@torch.no_grad()
def _compute(
    settings: DenoiserSettings,
    models: Towers,
    draws: Draws,
    share: _Share,
    lines: Lines | None,
    accelerator: Accelerator,
) -> Segments:
    """The draws of a share."""
    loader: Iterable[Batch] = DataLoader(
        draws,
        batch_sampler=share,
        num_workers=settings.workers,
        collate_fn=collate,
    )
    device = next(models.vision.parameters()).device
    done: list[Segments] = []
    skipped = 0
    for batch in tqdm(loader, desc="encoding segments"):
        with accelerator.autocast():
            done.append(_encode(models, batch, device, lines))
        if len(done) == 1:
            _check_room(done[0], settings)
        skipped += batch.skipped
    if skipped:
        log.warning("%d unreadable clips were passed over", skipped)
    return Segments(*(torch.cat(field) for field in zip(*done, strict=True)))


def _check_room(first: Segments, settings: DenoiserSettings) -> None:
    """Raise ValueError where all segments cannot be held as the first ones are."""
    needed = tensor_bytes(first) * settings.segments // len(first.latents)
    check_room(f"{settings.segments} segments", needed, "Choose fewer segments, fewer frames or a smaller size.")


def _encode(models: Towers, batch: Batch, device: torch.device, lines: Lines | None) -> Segments:
    video = batch.video.to(device)
    drawn = torch.zeros(len(video), dtype=torch.uint8)
    if lines is not None:
        frames = (rearrange(video, "b c t h w -> (b t) c h w") + 1) / 2
        drawn = rearrange((lines(frames) * 255).round().byte(), "(b t) c h w -> b c t h w", t=video.shape[2])
    ends = torch.stack([models.look(video[:, :, 0]), models.look(video[:, :, -1])], dim=1)
    return Segments(
        latents=models.encode(video).half().cpu(),
        vision=ends.half().cpu(),
        text=models.read(batch.captions).half().cpu(),
        fps=batch.fps,
        lines=drawn.cpu(),
    )
