"""Reads every published layout of the checkpoints, safely and without copying, and loads models from them."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from os import PathLike
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from ..inputs import check_kind, printable
from ..models.clip.text_tower import TextTower
from ..models.clip.vision_tower import VisionTower
from ..models.config import ModelConfig
from ..models.layers import Layers
from ..models.unet.projector import ImageProjector
from ..models.unet.sketch_encoder import SketchEncoder
from ..models.unet.unet import UNet
from ..models.vae.autoencoder import Autoencoder
from .infer import infer_config
from .stored_tensor import listing
from .weight_file import CheckpointError, read_weight_file
from .working_settings import WorkingSettings, read_working_settings

_DEEPSPEED_PREFIX = "_forward_module."
_DTYPES = (torch.float64, torch.float32, torch.float16, torch.bfloat16, torch.float8_e4m3fn, torch.float8_e5m2)
"""What weights may be stored as."""

PREFIXES = {
    "unet": "model.diffusion_model.",
    "autoencoder": "first_stage_model.",
    "projector": "image_proj_model.",
    "text": "cond_stage_model.model.",
    "vision": "embedder.model.visual.",
    "sketch": "",
}
"""Where each part lives in a published file. The sketch encoder is a file of its own."""

_MODELS: dict[str, Callable[[Any, Layers], nn.Module]] = {
    "unet": UNet,
    "autoencoder": Autoencoder,
    "projector": ImageProjector,
    "text": TextTower,
    "vision": VisionTower,
    "sketch": SketchEncoder,
}

_PLAIN = Layers()

_UNUSED = re.compile(
    r"""
      betas | alphas_cumprod | alphas_cumprod_prev | sqrt_.* | log_one_minus_alphas_cumprod   # schedule tables:
    | posterior_.* | scale_arr                                                               # `Schedule` has them
    | cond_stage_model\.model\.(text_projection|logit_scale)                                 # CLIP's contrastive head
    | embedder\.model\.(?!visual\.).*                                                        # a second text tower
    | embedder\.model\.visual\.(proj|ln_post\..*)                                            # after the last block
    | v_pred                                                                                 # ComfyUI's mark
    """,
    re.VERBOSE,
)
"""Tensors of the published file, or of one that ComfyUI saved, that no computation reads, besides the text tower's
last block."""


def to_core_name(name: str) -> str:
    """Published name -> our name, for the few tensors that are named better here."""
    name = re.sub(r"\.attn\.in_proj_(weight|bias)$", r".attn.in_proj.\1", name)
    return name.replace("decoder.conv_out.time_mix_conv.", "decoder.time_mix_conv.")


def to_published_name(name: str) -> str:
    """The way back from `to_core_name`."""
    name = name.replace(".attn.in_proj.", ".attn.in_proj_")
    return name.replace("decoder.time_mix_conv.", "decoder.conv_out.time_mix_conv.")


def normalise(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Bring the names of a file's tensors to the published form."""
    return {
        name.removeprefix(_DEEPSPEED_PREFIX).replace("framestride_embed", "fps_embedding"): tensor
        for name, tensor in tensors.items()
    }


@dataclass(frozen=True)
class Checkpoint:
    """A checkpoint's tensors and what they are; made by `read_checkpoint`.

    Attributes:
        path: the file.
        tensors: every tensor, memory-mapped where the format allows, under its published name.
        config: sizes of the parts present.
        working: settings the file says it works best with; None where it says nothing.
    """

    path: Path
    tensors: Mapping[str, Tensor] = field(repr=False)
    config: ModelConfig
    working: WorkingSettings | None = None

    @property
    def parts(self) -> list[str]:
        """Names of the parts present: unet, autoencoder, projector, text, vision, sketch."""
        return [part for part in PREFIXES if getattr(self.config, part) is not None]

    @property
    def missing_parts(self) -> list[str]:
        """Names of the parts a complete checkpoint has and this one lacks."""
        complete = ["sketch"] if self.config.sketch else [part for part in PREFIXES if part != "sketch"]
        return [part for part in complete if part not in self.parts]

    def part(self, name: str) -> dict[str, Tensor]:
        """Tensors of one part under our names, less the ones no computation reads."""
        prefix = PREFIXES[name]
        return {
            to_core_name(key[len(prefix) :]): tensor
            for key, tensor in self.tensors.items()
            if key.startswith(prefix) and not self._is_unused(key)
        }

    def published_part(self, prefix: str) -> dict[str, Tensor]:
        """All tensors under a prefix, named as published less the prefix."""
        return {key[len(prefix) :]: t for key, t in self.tensors.items() if key.startswith(prefix)}

    def build(self, name: str, layers: Layers | None = None) -> nn.Module:
        """A model of one part's size, on the meta device unless `layers` says otherwise; nothing loaded."""
        return _MODELS[name](getattr(self.config, name), layers or Layers(device="meta"))

    def load(self, name: str, layers: Layers = _PLAIN) -> nn.Module:
        """A model of one part with its weights as they are in the file (CPU, the file's dtype), for inference.

        Args:
            name: of the part.
            layers: how to make its layers.

        Raises:
            CheckpointError: the file lacks the part.
        """
        if name not in self.parts:
            raise CheckpointError(
                f"{self.path.name} has no {name} (it has: {', '.join(self.parts)}). Use a file that has it."
            )
        model = self.build(name, replace(layers, device="meta"))
        model.load_state_dict(self.part(name), assign=True)
        return model.eval().requires_grad_(False)

    def check(self) -> None:
        """Compare every name, shape and dtype with what the parts' models expect.

        Raises:
            CheckpointError: tensors are missing, unexpected, of another shape or no floating-point numbers.
        """
        unexpected = [name for name in self.tensors if not self._belongs(name)]
        missing: list[str] = []
        misshapen: list[str] = []
        unfit: list[str] = []
        for part in self.parts:
            found, expected = self.part(part), self._expected(part)
            prefix = PREFIXES[part]
            missing += [prefix + name for name in expected if name not in found]
            unexpected += [prefix + name for name in found if name not in expected]
            misshapen += [
                f"{prefix}{name} {tuple(found[name].shape)} instead of {tuple(tensor.shape)}"
                for name, tensor in expected.items()
                if name in found and found[name].shape != tensor.shape
            ]
            unfit += [
                f"{prefix}{name} {_named(tensor.dtype)}"
                for name, tensor in found.items()
                if tensor.dtype not in _DTYPES
            ]
        problems = [
            listing(what, names)
            for what, names in (
                ("missing", missing),
                ("unexpected", unexpected),
                ("of another shape", misshapen),
                ("that are no floating-point numbers", unfit),
            )
            if names
        ]
        if problems:
            raise CheckpointError(
                f"{self.path.name} does not fit the model its shapes describe: {'; '.join(problems)}. "
                "The file is damaged or of another model; download it again or use another one."
            )

    def report(self) -> str:
        """Which parts are present, their sizes and dtypes, a line each."""
        lines = [f"{printable(self.path.name)}: {len(self.tensors)} tensors"]
        for part in self.parts:
            tensors = self.part(part).values()
            dtypes = ", ".join(sorted({_named(t.dtype) for t in tensors}))
            count = sum(t.numel() for t in tensors)
            lines.append(f"  {part:<12} {count / 1e6:10.1f} M parameters  {dtypes}")
        lines += [f"  {part:<12} not in this file" for part in self.missing_parts]
        return "\n".join(lines)

    def _expected(self, part: str) -> dict[str, Tensor]:
        """Names, shapes and dtypes of a part's model, without content."""
        try:
            return self.build(part).state_dict()
        except (ValueError, RuntimeError, ArithmeticError) as error:
            raise CheckpointError(
                f"{self.path.name} describes a {part} of impossible sizes ({error}). "
                "The file is damaged or of another model; download it again or use another one."
            ) from error

    def _is_unused(self, name: str) -> bool:
        text = self.config.text
        last_block = f"cond_stage_model.model.transformer.resblocks.{text.layers - 1}." if text else None
        return bool(_UNUSED.fullmatch(name)) or (last_block is not None and name.startswith(last_block))

    def _belongs(self, name: str) -> bool:
        return self._is_unused(name) or any(name.startswith(PREFIXES[part]) for part in self.parts)


def read_checkpoint(path: str | Path) -> Checkpoint:
    """Open a checkpoint, tell what it holds, and check every tensor's name and shape.

    Args:
        path: `.safetensors`, or a PyTorch file (`.ckpt`, `.pt`, `.pth`, `.bin`), in any published layout.

    Raises:
        FileNotFoundError: no such file.
        CheckpointError: unreadable, unsafe, not a ToonCrafter or DynamiCrafter checkpoint, or damaged.
        ValueError: no path.
    """
    check_kind(path, str | PathLike, "path", "the path of a weight file")
    path = Path(path)
    tensors = normalise(read_weight_file(path))
    unet = PREFIXES["unet"]
    if any(name.startswith(unet) for name in tensors) and not any(
        name.startswith(unet + "init_attn") for name in tensors
    ):
        raise CheckpointError(
            f"{path.name} has a U-Net without layers over frames ({unet}init_attn): it is of another model, such as "
            "Stable Diffusion. Choose a ToonCrafter or DynamiCrafter checkpoint."
        )
    try:
        config, working = infer_config(tensors), read_working_settings(path)
    except ValueError as error:
        raise CheckpointError(
            f"{path.name} is not a checkpoint this program can load: {error}. "
            "The file is damaged or of another model; download it again or use another one."
        ) from error
    checkpoint = Checkpoint(path, tensors, config, working)
    if config.unet is None and config.sketch is None:
        raise CheckpointError(
            f"{path.name} is neither a ToonCrafter checkpoint nor a sketch encoder "
            f"({listing('found', list(tensors))}). Expected names such as "
            "model.diffusion_model.input_blocks.0.0.weight or input_hint_block.0.weight; use another file."
        )
    checkpoint.check()
    return checkpoint


def _named(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")
