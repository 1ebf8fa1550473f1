"""A run's `state.pt`: what it needs to go on where it was, whole or not at all, and refused where it is not that."""

from __future__ import annotations

import pickle
import zipfile
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.optim import AdamW, Muon, Optimizer

from ...files.whole import written_whole
from ...finite import is_finite
from ...memory import is_out_of_memory
from ..settings.run import SettingsError

_UNREADABLE = (
    zipfile.BadZipFile,
    zlib.error,
    pickle.UnpicklingError,
    EOFError,
    RuntimeError,
    ValueError,
    LookupError,
    TypeError,
    AttributeError,
)
"""What comes of a state that is cut off, or never was one."""

_ADVICE = (
    "Put a copy back, name another output, or take the file away, and the training begins anew. The checkpoint beside "
    "it is as it was"
)

_KEPT: dict[type[Optimizer], set[str]] = {AdamW: {"step", "exp_avg", "exp_avg_sq"}, Muon: {"momentum_buffer"}}
"""What optimisers keep of each parameter."""


@contextmanager
def refusing_damage(path: Path) -> Iterator[None]:
    """Errors of a state that cannot be used become a SettingsError; a lack of memory is none of them."""
    try:
        yield
    except _UNREADABLE as error:
        if is_out_of_memory(error):
            raise
        raise _damaged(path) from error


def _damaged(path: Path, what: str = "is damaged, or no state of a training") -> SettingsError:
    return SettingsError(f"{path} {what}. {_ADVICE}")


def read_state(path: Path, mapped: bool = False) -> dict[str, Any]:
    """What `write_state` has written, on the CPU: it is copied to where the models and optimisers have it. Mapped, it
    takes no memory of its own.

    Checksums are compared, which PyTorch leaves out.

    Raises:
        SettingsError: it is something else, or damaged.
        OSError: it cannot be read.
    """
    if not path.is_file():
        raise _damaged(path, "is no file; expected the state of a training")
    with refusing_damage(path):
        with zipfile.ZipFile(path) as archive:
            broken = next((file.filename for file in archive.infolist() if file.compress_type), archive.testzip())
        state = torch.load(path, map_location="cpu", weights_only=True, mmap=mapped)
        counts = (state["step"], state["skipped"], state["ema"]["updates"])
        weights = [*state["ema"]["averages"].values()]
        weights += [weight for contestant in state["contestants"].values() for weight in contestant["parameters"]]
        usable = all(type(count) is int and count >= 0 for count in counts) and all(map(is_finite, weights))
    if broken is not None:
        raise _damaged(path, f"is damaged: {broken} in it is not what was written")
    if not usable:
        raise _damaged(path, "holds counts below 0, or weights that are NaN or infinite")
    return state


def write_state(state: dict[str, Any], path: Path) -> None:
    """Write it, whole or not at all."""
    with written_whole(path) as unfinished:
        torch.save(state, unfinished)


def same_tensors(some: Sequence[Tensor], others: Sequence[Tensor]) -> bool:
    """Whether these are as many, of the same shapes and dtypes."""
    return [(one.shape, one.dtype) for one in some] == [(other.shape, other.dtype) for other in others]


def fits(optimiser: Optimizer, kept: dict[str, Any]) -> bool:
    """Whether this is what an optimiser of this kind keeps of these parameters."""
    parameters = [parameter for group in optimiser.param_groups for parameter in group["params"]]
    expected = _KEPT[type(optimiser)]
    return all(
        set(entry) == expected
        and all(value.shape == parameters[number].shape for name, value in entry.items() if name != "step")
        for number, entry in kept["state"].items()
    )
