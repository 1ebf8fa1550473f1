"""Reads every published layout of the checkpoints, safely and without copying, and loads models from them."""

from __future__ import annotations

import pickle
import re
import struct
import zipfile
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file
from torch import Tensor, nn

from ..models.clip.text_tower import TextTower
from ..models.clip.vision_tower import VisionTower
from ..models.config import ModelConfig
from ..models.layers import Layers
from ..models.unet.projector import ImageProjector
from ..models.unet.sketch_encoder import SketchEncoder
from ..models.unet.unet import UNet
from ..models.vae.autoencoder import Autoencoder
from .infer import infer_config
from .working_settings import WorkingSettings, from_metadata

_WRAPPERS = ("state_dict", "module")
_DEEPSPEED_PREFIX = "_forward_module."
_SHOWN = 5
_DOWNLOAD_AGAIN = "It is damaged, or no checkpoint at all: download it again, or use another file."
_UNREADABLE = (RuntimeError, OSError, EOFError, LookupError, ValueError, TypeError, AttributeError, struct.error)
"""What PyTorch's reader raises on files that are cut short or are something else."""

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


class CheckpointError(ValueError):
    """A file that is not a checkpoint we can load; the message says what came and what to do."""


def to_core_name(name: str) -> str:
    """Published name -> our name, for the few tensors that are named better here."""
    name = re.sub(r"\.attn\.in_proj_(weight|bias)$", r".attn.in_proj.\1", name)
    return name.replace("decoder.conv_out.time_mix_conv.", "decoder.time_mix_conv.")


def to_published_name(name: str) -> str:
    """The way back from `to_core_name`."""
    name = name.replace(".attn.in_proj.", ".attn.in_proj_")
    return name.replace("decoder.time_mix_conv.", "decoder.conv_out.time_mix_conv.")


def normalise(content: Mapping[str, Any]) -> dict[str, Tensor]:
    """Unwrap a loaded file and bring its tensors' names to the published form."""
    for wrapper in _WRAPPERS:
        if isinstance(content.get(wrapper), Mapping):
            content = content[wrapper]
    tensors = {str(name): value for name, value in content.items() if isinstance(value, Tensor)}
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
        """Compare every name and shape with what the parts' models expect.

        Raises:
            CheckpointError: tensors are missing, unexpected or of another shape.
        """
        unexpected = [name for name in self.tensors if not self._belongs(name)]
        missing: list[str] = []
        misshapen: list[str] = []
        for part in self.parts:
            found, expected = self.part(part), self.build(part).state_dict()
            prefix = PREFIXES[part]
            missing += [prefix + name for name in expected if name not in found]
            unexpected += [prefix + name for name in found if name not in expected]
            misshapen += [
                f"{prefix}{name} {tuple(found[name].shape)} instead of {tuple(tensor.shape)}"
                for name, tensor in expected.items()
                if name in found and found[name].shape != tensor.shape
            ]
        problems = [
            _listing(what, names)
            for what, names in (
                ("missing", missing),
                ("unexpected", unexpected),
                ("of another shape", misshapen),
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
        lines = [f"{self.path.name}: {len(self.tensors)} tensors"]
        for part in self.parts:
            tensors = self.part(part).values()
            dtypes = ", ".join(sorted({str(t.dtype).removeprefix("torch.") for t in tensors}))
            count = sum(t.numel() for t in tensors)
            lines.append(f"  {part:<12} {count / 1e6:10.1f} M parameters  {dtypes}")
        lines += [f"  {part:<12} not in this file" for part in self.missing_parts]
        return "\n".join(lines)

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
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"no checkpoint at {path}; check the path")
    tensors = normalise(_read(path))
    unet = PREFIXES["unet"]
    if any(name.startswith(unet) for name in tensors) and not any(
        name.startswith(unet + "init_attn") for name in tensors
    ):
        raise CheckpointError(
            f"{path.name} has a U-Net without layers over frames ({unet}init_attn): it is of another model, such as "
            "Stable Diffusion. Choose a ToonCrafter or DynamiCrafter checkpoint."
        )
    try:
        config, working = infer_config(tensors), _working_settings(path)
    except ValueError as error:
        raise CheckpointError(f"{path.name} is not a checkpoint this program can load: {error}") from error
    checkpoint = Checkpoint(path, tensors, config, working)
    if config.unet is None and config.sketch is None:
        raise CheckpointError(
            f"{path.name} is neither a ToonCrafter checkpoint nor a sketch encoder "
            f"({_listing('found', list(tensors))}). Expected names such as "
            "model.diffusion_model.input_blocks.0.0.weight or input_hint_block.0.weight."
        )
    checkpoint.check()
    return checkpoint


def _working_settings(path: Path) -> WorkingSettings | None:
    if not _is_safetensors(path):
        return None
    with safe_open(path, framework="pt") as file:
        return from_metadata(file.metadata())


def _is_safetensors(path: Path) -> bool:
    return path.suffix.lower() in (".safetensors", ".sft")


def _read(path: Path) -> Mapping[str, Any]:
    if _is_safetensors(path):
        try:
            return load_file(path)
        except SafetensorError as error:
            raise CheckpointError(f"{path.name} is not a complete safetensors file: {error}") from error
    return _read_pickle(path)


def _read_pickle(path: Path) -> Mapping[str, Any]:
    try:
        content = _torch_load(path)
    except pickle.UnpicklingError as error:
        wanted = re.search(r"GLOBAL (\S+)", str(error))
        if wanted is None:
            raise CheckpointError(f"{path.name} cannot be read as a PyTorch file. {_DOWNLOAD_AGAIN}") from error
        raise CheckpointError(
            f"{path.name} was refused: it asks for {wanted[1]}, and a file that asks for more than tensors could run "
            "code hidden in it. Use a .safetensors file, or a .ckpt that holds tensors only."
        ) from error
    except _UNREADABLE as error:
        raise CheckpointError(f"{path.name} cannot be read as a PyTorch file. {_DOWNLOAD_AGAIN}") from error
    if not isinstance(content, Mapping):
        raise CheckpointError(f"{path.name} holds a {type(content).__name__}; expected a dictionary of tensors")
    return content


def _torch_load(path: Path) -> Any:
    """Memory-mapped where the file is in the zip format (PyTorch 1.6 and later), else read whole."""
    return torch.load(path, map_location="cpu", weights_only=True, mmap=zipfile.is_zipfile(path))


def _listing(what: str, names: Iterable[str]) -> str:
    names = list(names)
    shown = ", ".join(names[:_SHOWN])
    return f"{len(names)} {what}: {shown}{', ...' if len(names) > _SHOWN else ''}"
