"""The models of an interpolation, each with its weights at work for its stage only."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from .files.checkpoint import CheckpointError, read_checkpoint
from .inputs import shortened
from .memory import free_bytes
from .models.clip.text_tower import TextTower
from .models.clip.vision_tower import VisionTower
from .models.unet.projector import ImageProjector
from .models.unet.sketch_encoder import SketchEncoder
from .models.unet.unet import UNet
from .models.vae.autoencoder import Autoencoder

DTYPES = {"float32": torch.float32, "float16": torch.float16, "bfloat16": torch.bfloat16}
"""Precisions of weights and activations, by name."""

_BFLOAT16_UNITS = ("amx_bf16", "avx512_bf16")
"""What a CPU is said to have where it multiplies bfloat16 itself."""


def working_device(name: torch.device | str) -> torch.device:
    """The device of this name, once it is known to work; ValueError where it does not."""
    with _refused(name):
        one = torch.ones(1, device=name)
        one.item()  # which a device without memory cannot
        return one.device


def check_device_name(name: str) -> None:
    """Raise ValueError for what is no device's name; whether it works is for the machine that has it to say."""
    with _refused(name):
        torch.device(name)


def default_dtype(device: torch.device | str) -> torch.dtype:
    """bfloat16 on a CPU that multiplies it itself, twice as fast as float32; else float32.

    An older PyTorch, which does not say what a CPU has, gets float32.
    """
    has: dict[str, Any] = getattr(torch.cpu, "get_capabilities", dict)()
    native = torch.device(device).type == "cpu" and any(has.get(unit, False) for unit in _BFLOAT16_UNITS)
    return torch.bfloat16 if native else torch.float32


@contextmanager
def _refused(device: torch.device | str) -> Iterator[None]:
    """PyTorch's refusal of a device in words."""
    try:
        yield
    except (RuntimeError, AssertionError, TypeError) as error:
        reason = str(error).splitlines()[0].partition(". ")[0].rstrip(".")  # PyTorch goes on with a list of all it has
        raise ValueError(
            f"device {device} cannot be used: {reason}. Name one that this machine has, such as cpu"
        ) from error


@dataclass(frozen=True)
class ToonCrafter:
    """Every model an interpolation needs.

    Models wait as they are, which for a loaded file is mapped pages in the file's dtype. Each has its weights on
    `device` and in `dtype` for its stage only, see `at_work`.
    """

    unet: UNet
    autoencoder: Autoencoder
    projector: ImageProjector
    text: TextTower
    vision: VisionTower
    sketch_encoder: SketchEncoder | None = None
    device: torch.device | str = "cpu"
    dtype: torch.dtype = torch.float32

    @staticmethod
    def load(
        path: str | Path,
        sketch_path: str | Path | None = None,
        device: torch.device | str = "cpu",
        dtype: torch.dtype | None = None,
    ) -> ToonCrafter:
        """Open a complete checkpoint and, if wanted, a sketch encoder; weights are read when their stage comes.

        Without a dtype it is `default_dtype`.

        Raises:
            FileNotFoundError: no such file.
            CheckpointError: a file cannot be used, or lacks a part (a pruned file lacks the text and vision
                towers).
            ValueError: the sketch encoder belongs to another model, or the device or dtype cannot be used.
        """
        working_device(device)
        dtype = default_dtype(device) if dtype is None else dtype
        if dtype not in DTYPES.values():
            raise ValueError(f"dtype is {shortened(dtype)}; expected {', '.join(map(str, DTYPES.values()))}")
        checkpoint = read_checkpoint(path)
        if checkpoint.missing_parts or checkpoint.config.sketch is not None:
            raise CheckpointError(
                f"{checkpoint.path.name} has {', '.join(checkpoint.parts)}; an interpolation needs unet, autoencoder, "
                "projector, text and vision. Use the complete model.ckpt."
            )
        sketch = None
        if sketch_path is not None:
            guide = read_checkpoint(sketch_path)
            sketch = guide.load("sketch")
            if guide.config.sketch is not None and checkpoint.config.unet is not None:
                guide.config.sketch.check_fits(checkpoint.config.unet)
        parts = {name: checkpoint.load(name) for name in checkpoint.parts}
        return ToonCrafter(**parts, sketch_encoder=sketch, device=device, dtype=dtype)  # type: ignore[arg-type]

    @contextmanager
    def at_work(self, *modules: nn.Module | None) -> Iterator[None]:
        """Weights of these modules on the device and in the dtype of the work meanwhile; the copies go afterwards."""
        present = [module for module in modules if module is not None]
        waiting = [(parameter, parameter.data) for module in present for parameter in module.parameters()]
        try:
            for module in present:
                module.to(self.device, self.dtype)
            yield
        finally:
            for parameter, data in waiting:
                parameter.data = data

    def stay_at_work(self) -> None:
        """Keep all weights on the device and in the dtype of the work, so that no stage has to move any; where that
        would take more than half of the free memory, each stage goes on moving its own."""
        parts = (self.unet, self.autoencoder, self.projector, self.text, self.vision, self.sketch_encoder)
        if self.copied_bytes(*parts) <= free_bytes(self.device) / 2:
            for part in filter(None, parts):
                part.to(self.device, self.dtype)

    def copied_bytes(self, *modules: nn.Module | None) -> int:
        """What `at_work` takes for these modules: copies of all weights that are elsewhere or in another dtype."""
        device = torch.device(self.device)
        return sum(
            parameter.numel() * self.dtype.itemsize
            for module in modules
            if module is not None
            for parameter in module.parameters()
            if parameter.dtype != self.dtype or parameter.device.type != device.type
        )
