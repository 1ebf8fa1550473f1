"""Models to checkpoints in the published layout."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path

from safetensors.torch import save_file
from torch import Tensor, nn

from ...files.checkpoint import PREFIXES, to_published_name
from ...files.infer import infer_config
from ...files.whole import written_whole
from ...files.working_settings import WorkingSettings
from ...models.config import ModelConfig
from .shards import whole_on_first


def published(part: str, model: nn.Module) -> dict[str, Tensor]:
    """A model's tensors under their published names, on the CPU; of a divided model on the first process, and every
    process has to ask.

    Args:
        part: which part the model is, see `checkpoint.PREFIXES`.
        model: of that part.
    """
    return {
        PREFIXES[part] + to_published_name(name): whole_on_first(tensor.detach()).cpu().contiguous()
        for name, tensor in model.state_dict().items()
    }


def check_sizes(tensors: Mapping[str, Tensor], config: ModelConfig) -> None:
    """Make sure that who reads the tensors finds the sizes they have: heads, for one, do not show in shapes.

    Raises:
        ValueError: other sizes would be found.
    """
    found = asdict(infer_config(tensors))
    for part, sizes in asdict(config).items():
        for name, size in (sizes or {}).items():
            if found[part][name] != size:
                raise ValueError(
                    f"{part}.{name} is {size}, which does not show in a checkpoint: it would be read as "
                    f"{found[part][name]}. Use that, or other sizes beside it"
                )


def write_checkpoint(tensors: Mapping[str, Tensor], path: Path, working: WorkingSettings | None = None) -> None:
    """Write a safetensors file, whole or not at all; with the settings it works best with, where they are known."""
    with written_whole(path) as unfinished:
        metadata = working.to_metadata() if working else None
        save_file({name: tensor.contiguous() for name, tensor in tensors.items()}, unfinished, metadata)
