"""Tensors by name from any weight file, safely and without copying."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from ..inputs import check_text, printable
from .pickles import UnsafeError
from .stored_tensor import is_tensor
from .torch_file import TORCH_FILES, read_torch_file

_WRAPPERS = ("state_dict", "module")
_DOWNLOAD_AGAIN = "It is damaged, or of another kind: download it again, or use another file."

_MOST_ENTRIES = 20_000
"""Of a safetensors file's header; the published checkpoint has 2,500, and each costs time."""
_LONGEST_HEADER = 100_000_000
"""Bytes of one; safetensors itself refuses more."""


class CheckpointError(ValueError):
    """A file that is not one we can load; the message says what came and what to do."""


def read_weight_file(path: Path) -> dict[str, Tensor]:
    """Read a safetensors file, or a PyTorch file without running code in it, whatever its name ends in.

    Of a training's file, `state_dict` or `module` is taken; what is no tensor is left out. Memory-mapped where the
    file has the data as it is.

    Raises:
        FileNotFoundError: no such file.
        CheckpointError: it is unreadable, unsafe or damaged, or holds something other than tensors by name.
    """
    if os.path.isdir(path):  # Path.is_dir raises where a name is too long
        raise FileNotFoundError(f"{path} is a folder; expected a weight file, .safetensors or .ckpt")
    if not os.path.isfile(path):
        raise FileNotFoundError(f"no weight file at {path}; check the path")
    try:
        if is_safetensors(path):
            _check_name(path)
            _check_entries(path)
            return load_file(path)
        return read_torch_file(path, _unwrap)
    except CheckpointError:
        raise
    except SafetensorError as error:
        reason = f"is not a complete safetensors file: {_short(error)}. {_DOWNLOAD_AGAIN}"
    except UnsafeError as error:
        reason = (
            f"was refused: it asks for {_short(error)}, and a file that asks for more than tensors could run code "
            "hidden in it. Use a .safetensors file, or a .ckpt that holds tensors only."
        )
    except MemoryError:
        reason = "does not fit into the memory that is free. Close other programs, or use a file of half precision."
    except OSError as error:
        reason = f"cannot be opened: {error.strerror}. Check the file's permissions and its disk."
    except ValueError as error:
        reason = f"is not a weight file that can be read: {_short(error)}. {_DOWNLOAD_AGAIN}"
    raise CheckpointError(f"{printable(path.name)} {reason}")


def is_safetensors(path: Path) -> bool:
    """Whether a weight file is of that format: by its first bytes, or by its name where they tell nothing.

    Raises:
        OSError: it cannot be read.
    """
    with path.open("rb") as file:
        head = file.read(9)  # of safetensors the length of a JSON object, and its beginning
    if head[8:] == b"{":
        return True
    return path.suffix.lower() in (".safetensors", ".sft") and not head.startswith(TORCH_FILES)


def _check_name(path: Path) -> None:
    """Raise CheckpointError for a name that safetensors cannot open."""
    try:
        check_text(path)
    except ValueError as error:
        raise CheckpointError(str(error)) from error


def _check_entries(path: Path) -> None:
    """Raise ValueError for a safetensors file of more entries than weights have."""
    with path.open("rb") as file:
        length = int.from_bytes(file.read(8), "little")
        # Each names its dtype; in a graph among the metadata the quotes of such a name are escaped.
        entries = file.read(min(length, _LONGEST_HEADER)).count(b'"dtype"')
    if entries > _MOST_ENTRIES:
        raise ValueError(f"its header has {entries:,} entries; expected at most {_MOST_ENTRIES:,}")


def _short(error: Exception) -> str:
    """An error's text, which may quote a damaged file at length."""
    return str(error)[:1000]


def _unwrap(content: Any) -> Mapping[str, Any]:
    """The part of a PyTorch file's content that has the tensors by name."""
    if not isinstance(content, dict):
        kind = "Tensor" if is_tensor(content) else type(content).__name__
        raise ValueError(f"it holds a {kind}; expected a dictionary of tensors")
    for wrapper in _WRAPPERS:
        if isinstance(content.get(wrapper), dict):
            content = content[wrapper]
    return content
