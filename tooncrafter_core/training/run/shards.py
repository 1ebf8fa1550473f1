"""Weights divided over processes (fully sharded data parallelism: Zhao et al. 2023), by PyTorch's `fully_shard`.

Each process keeps an equal share of every weight, with its gradient, moments and average. A block's weights are
gathered when it runs, forwards and back, and let go after it.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import FSDPModule, fully_shard
from torch.distributed.tensor import DTensor, distribute_tensor

from .recompute import outermost_blocks


def divide(model: nn.Module, device: torch.device, processes: int) -> None:
    """Divide a model's weights, block by block; what is in no block is gathered for a whole step."""
    mesh = init_device_mesh(device.type, (processes,))
    for block in outermost_blocks(model):
        fully_shard(block, mesh=mesh)
    fully_shard(model, mesh=mesh)


@contextmanager
def usable(model: nn.Module) -> Iterator[None]:
    """Parts of a model can be called by themselves here, if it is divided."""
    if not isinstance(model, FSDPModule):
        yield
        return
    model.unshard()
    try:
        yield
    finally:
        model.reshard()


def whole(tensor: Tensor) -> Tensor:
    """The tensor with all shares; every process has to ask for it."""
    return tensor.full_tensor() if isinstance(tensor, DTensor) else tensor


def whole_on_first(tree: Any) -> Any:
    """Dictionaries and lists with whole tensors in them, on the CPU where they were divided. Every process has to ask,
    and the first alone gets what was divided: the others would need the memory for nothing."""
    if isinstance(tree, dict):
        return {key: whole_on_first(value) for key, value in tree.items()}
    if isinstance(tree, list):
        return [whole_on_first(value) for value in tree]
    if not isinstance(tree, DTensor):
        return tree
    gathered = tree.full_tensor()
    return gathered.cpu() if tree.device_mesh.get_rank() == 0 else gathered.new_empty(0, device="cpu")


def divided_as(tensor: Tensor, pattern: Tensor) -> Tensor:
    """This process's share of the first process's whole tensor, or all of it, as the pattern is divided."""
    if not isinstance(pattern, DTensor):
        return tensor
    return distribute_tensor(tensor.to(pattern.device), pattern.device_mesh, pattern.placements)


def divided_moments(moments: dict[int, dict[str, Any]], optimiser: torch.optim.Optimizer) -> dict[int, dict[str, Any]]:
    """What an optimiser keeps of each parameter, of whole tensors, as its parameters are divided."""
    parameters = [parameter for group in optimiser.param_groups for parameter in group["params"]]
    return {
        index: {name: _divided_moment(value, parameters[index]) for name, value in values.items()}
        for index, values in moments.items()
    }


def _divided_moment(value: Any, parameter: Tensor) -> Any:
    """Moments have their parameter's shape; numbers of steps have none."""
    return divided_as(value, parameter) if isinstance(value, Tensor) and value.shape == parameter.shape else value
