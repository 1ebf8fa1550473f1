"""LoRA (Hu et al. 2021): low-rank changes of linear and convolution layers, to train, to write and to merge."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from ...files.weight_file import CheckpointError, read_weight_file
from .shards import whole_on_first

_LAYERS = (nn.Linear, nn.Conv1d, nn.Conv2d, nn.Conv3d)
_PREFIX = "diffusion_model."
"""Of the U-Net's layers in a LoRA file, as ComfyUI's Load LoRA knows them."""
_UP, _DOWN, _ALPHA = ".lora_up.weight", ".lora_down.weight", ".alpha"


class Factors(NamedTuple):
    """The change of one layer's weight.

    Attributes:
        up: (out, rank), of a convolution (out, rank, 1, ...).
        down: (rank, in), of a convolution with the kernel's sizes behind.
    """

    up: Tensor
    down: Tensor

    def change(self) -> Tensor:
        """What is added to the weight, of its shape, in float32."""
        product = self.up.float().flatten(1) @ self.down.float().flatten(1)
        return product.reshape(len(self.up), *self.down.shape[1:])

    def joined(self, other: Factors) -> Factors:
        """Both changes as one, whose rank is the sum."""
        return Factors(torch.cat([self.up, other.up], dim=1), torch.cat([self.down, other.down]))


class LoRA(nn.Module):
    """Low-rank changes beside a model's layers, zero at first; they are added to what the layers put out.

    Args:
        model: stays as it is.
        rank: of every change, less where a layer's weight has less.
        spared: beginnings of the names of layers that get none.
    """

    def __init__(self, model: nn.Module, rank: int, spared: tuple[str, ...] = ()) -> None:
        super().__init__()
        layers = {
            name: layer
            for name, layer in model.named_modules()
            if isinstance(layer, _LAYERS) and not name.startswith(spared)
        }
        self.names = list(layers)
        self.branches = nn.ModuleList(_branch(layer, rank) for layer in layers.values())
        self._active = True
        for layer, branch in zip(layers.values(), self.branches, strict=True):
            layer.register_forward_hook(partial(self._add, branch))

    @contextmanager
    def left_out(self) -> Iterator[None]:
        """The model as it is without the changes."""
        self._active = False
        try:
            yield
        finally:
            self._active = True

    def factors(self) -> dict[str, Factors]:
        """By layer, on the CPU; of a divided model see `whole_on_first`."""
        weights = ([whole_on_first(layer.weight.detach()).cpu() for layer in branch] for branch in self.branches)  # type: ignore[attr-defined]
        return {name: Factors(up, down) for name, (down, up) in zip(self.names, weights, strict=True)}

    def _add(self, branch: nn.Module, layer: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> Tensor:
        return output + branch(inputs[0]) if self._active else output


def _branch(layer: Any, rank: int) -> nn.Sequential:
    """Down to the rank as the layer does it, and up again."""
    rank = min(rank, len(layer.weight), layer.weight[0].numel())
    if isinstance(layer, nn.Linear):
        down, up = nn.Linear(layer.in_features, rank, bias=False), nn.Linear(rank, layer.out_features, bias=False)
    else:
        make = type(layer)
        down = make(layer.in_channels, rank, layer.kernel_size, layer.stride, layer.padding, bias=False)
        up = make(rank, layer.out_channels, 1, bias=False)
    nn.init.zeros_(up.weight)
    return nn.Sequential(down, up)


def to_tensors(lora: Mapping[str, Factors]) -> dict[str, Tensor]:
    """A LoRA file's tensors, in the common form whose names ComfyUI knows for any model: alpha is the rank, so that a
    strength of 1 is what was trained."""
    tensors: dict[str, Tensor] = {}
    for name, (up, down) in lora.items():
        tensors[f"{_PREFIX}{name}{_UP}"] = up
        tensors[f"{_PREFIX}{name}{_DOWN}"] = down
        tensors[f"{_PREFIX}{name}{_ALPHA}"] = torch.tensor(float(len(down)))
    return tensors


def read_lora(path: Path) -> dict[str, Factors]:
    """The changes in a file of `to_tensors`, by layer.

    Raises:
        FileNotFoundError: no such file.
        CheckpointError: it cannot be read, or is another file.
    """
    tensors = read_weight_file(path)
    names = [name.removeprefix(_PREFIX).removesuffix(_UP) for name in tensors if name.endswith(_UP)]
    expected = {f"{_PREFIX}{name}{end}" for name in names for end in (_UP, _DOWN, _ALPHA)}
    if not names or expected != set(tensors):
        raise CheckpointError(
            f"{path.name} is no LoRA of the training `distil`; expected {_PREFIX}LAYER with {_UP}, {_DOWN} and {_ALPHA}"
        )
    return {name: _factors(tensors, _PREFIX + name) for name in names}


def _factors(tensors: Mapping[str, Tensor], layer: str) -> Factors:
    up, down = tensors[layer + _UP].float(), tensors[layer + _DOWN].float()
    return Factors(up * (tensors[layer + _ALPHA].float() / len(down)), down)


@torch.no_grad()
def merge(unet: nn.Module, lora: Mapping[str, Factors]) -> None:
    """Add the changes to a U-Net's weights, which become float32.

    Raises:
        CheckpointError: the LoRA is of another model.
    """
    parameters = dict(unet.named_parameters())
    for name, factors in lora.items():
        parameter, change = parameters.get(f"{name}.weight"), factors.change()
        if parameter is None or parameter.shape != change.shape:
            found = "no such layer" if parameter is None else f"a weight of {tuple(parameter.shape)}"
            raise CheckpointError(
                f"The LoRA changes {name} by {tuple(change.shape)}, where this model has {found}. Use the LoRA with "
                "the model it was trained for."
            )
        parameter.data = parameter.float() + change.to(parameter.device)
