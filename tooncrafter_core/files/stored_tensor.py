"""What a PyTorch file's pickle says of its tensors, and what of it can be true of weights."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from .pickles import dict_of

_STORAGES = {
    "Double": torch.float64,
    "Float": torch.float32,
    "Half": torch.float16,
    "BFloat16": torch.bfloat16,
    "Long": torch.int64,
    "Int": torch.int32,
    "Short": torch.int16,
    "Char": torch.int8,
    "Byte": torch.uint8,
    "Bool": torch.bool,
    "ComplexFloat": torch.complex64,
    "ComplexDouble": torch.complex128,
    "QInt8": torch.qint8,
    "QUInt8": torch.quint8,
    "QInt32": torch.qint32,
}
_MOST_DIMENSIONS = 16
"""Weights have five at most."""

_DTYPES = {str(value): value for value in vars(torch).values() if isinstance(value, torch.dtype)}


@dataclass(frozen=True)
class Storage:
    """A block of the file by its key there.

    Attributes:
        key: its name in the file.
        dtype: what its elements are; uint8 where the tensors over it say it themselves.
        numel: how many there are.
    """

    key: str
    dtype: torch.dtype
    numel: int

    @property
    def nbytes(self) -> int:
        return self.numel * self.dtype.itemsize


@dataclass(frozen=True)
class StoredTensor:
    """A tensor as the pickle describes it: nothing is allocated, and nothing of it is known to be true.

    Attributes:
        storage: where its elements are.
        dtype: what they are.
        offset, shape, stride: which of them, in elements.
    """

    storage: Storage
    dtype: torch.dtype
    offset: Any
    shape: Any
    stride: Any

    @property
    def nbytes(self) -> int:
        return math.prod(self.shape) * self.dtype.itemsize

    def fault(self) -> str | None:
        """What keeps it from being a tensor whose elements all lie in the storage, each once; None if it is one."""
        if not (_are_sizes(self.shape) and _are_sizes(self.stride) and _are_sizes((self.offset,))):
            return "no shape"
        if len(self.shape) != len(self.stride):
            return f"{len(self.shape)} dimensions with {len(self.stride)} strides"
        if not _is_dense(self.shape, self.stride):
            return f"shape {_told(self.shape)} with strides {_told(self.stride)}, which repeats or skips elements"
        if self.offset * self.dtype.itemsize + self.nbytes > self.storage.nbytes:
            return f"shape {_told(self.shape)} in {self.storage.nbytes} bytes"
        return None

    def over(self, storage: torch.UntypedStorage) -> Tensor:
        """The tensor over the bytes of its storage."""
        return torch.empty(0, dtype=self.dtype).set_(storage, self.offset, self.shape, self.stride)


@dataclass(frozen=True)
class Foreign:
    """A value that is no dense tensor on its own, in words; it may be in a file as long as no weight is one."""

    kind: str
    is_tensor: bool


def is_tensor(value: Any) -> bool:
    """Whether a value of a file's content stands for a tensor of any kind."""
    return isinstance(value, StoredTensor) or (isinstance(value, Foreign) and value.is_tensor)


def make_storage(description: tuple[Any, ...]) -> Storage:
    """A storage from what PyTorch writes for it: "storage", type, key, device, number of elements.

    Files older than PyTorch 1.6 have a sixth entry, which is a view's and None in all but the oldest.

    Raises:
        ValueError: it describes something else.
    """
    match description:
        case ("storage", torch.dtype() as dtype, str(key), _, int(numel)) if numel >= 0:
            return Storage(key, dtype, numel)
        case ("storage", torch.dtype() as dtype, str(key), _, int(numel), None) if numel >= 0:
            return Storage(key, dtype, numel)
    raise ValueError("it has a storage that is described in no way PyTorch does")


def _tensor(storage: Any, offset: Any, shape: Any, stride: Any, *_: Any) -> StoredTensor:
    if not isinstance(storage, Storage):
        raise TypeError
    return StoredTensor(storage, storage.dtype, offset, shape, stride)


def _tensor_v2(*described: Any) -> StoredTensor | Foreign:
    """From storage, offset, shape, stride, requires_grad, hooks, and maybe the marks "conjugate" and "negative"."""
    return _CHANGED_SIGN if any(described[6:]) else _tensor(*described)


def _tensor_v3(*described: Any) -> StoredTensor | Foreign:
    """The same, with the dtype before the marks."""
    dtype = described[6]
    if not isinstance(dtype, torch.dtype):
        raise TypeError
    return _CHANGED_SIGN if any(described[7:]) else replace(_tensor(*described), dtype=dtype)


def _parameter(tensor: Any, *_: Any) -> Any:
    return tensor


def _ordered_dict(items: Any = ()) -> dict[str, Any]:
    """Python 2 wrote the entries as pairs."""
    if not isinstance(items, (list, tuple)) or any(not isinstance(p, (list, tuple)) or len(p) != 2 for p in items):
        raise TypeError
    return dict_of([value for pair in items for value in pair])


def _size(items: tuple[Any, ...]) -> tuple[Any, ...]:
    return items


def _foreign(kind: str, is_tensor: bool) -> Callable[..., Foreign]:
    value = Foreign(kind, is_tensor)
    return lambda *_: value


_CHANGED_SIGN = Foreign("stored with another sign", True)

_TENSORS_OF_OTHER_KINDS = {
    "_rebuild_sparse_tensor": "sparse",
    "_rebuild_qtensor": "quantised",
    "_rebuild_meta_tensor_no_storage": "without content (meta)",
    "_rebuild_nested_tensor": "nested",
    "_rebuild_wrapper_subclass": "of a class of its own",
    "_rebuild_device_tensor_from_cpu_tensor": "of another device",
}
_OTHER_VALUES = (
    "torch.device",
    "torch.serialization._get_layout",
    "collections.Counter",
    "collections.defaultdict",
    "__builtin__.set",
    "__builtin__.complex",
    "__builtin__.bytearray",
    "_codecs.encode",
)

NAMES: dict[str, Any] = {
    "collections.OrderedDict": _ordered_dict,
    "torch.Size": _size,
    "torch._utils._rebuild_tensor": _tensor,
    "torch._utils._rebuild_tensor_v2": _tensor_v2,
    "torch._utils._rebuild_tensor_v3": _tensor_v3,
    "torch._utils._rebuild_parameter": _parameter,
    **_DTYPES,
    **{f"torch.{name}Storage": dtype for name, dtype in _STORAGES.items()},
    "torch.storage.UntypedStorage": torch.uint8,
    **{str(scheme): None for scheme in (torch.per_tensor_affine, torch.per_channel_affine)},
    **{f"torch._utils.{name}": _foreign(kind, True) for name, kind in _TENSORS_OF_OTHER_KINDS.items()},
    **{name: _foreign(name, False) for name in _OTHER_VALUES},
}
"""All that a pickle of tensors may ask for, by its name in Python; none of it is what has that name there."""


def check_stored(tensors: Mapping[str, StoredTensor | Foreign]) -> None:
    """Refuse what is no dense tensor inside its storage, and tensors that together are much larger than the storages.

    Tied weights count each time, so twice the size is allowed.

    Raises:
        ValueError: with the names.
    """
    faults = {name: tensor.kind if isinstance(tensor, Foreign) else tensor.fault() for name, tensor in tensors.items()}
    told = [f"{name} ({fault})" for name, fault in faults.items() if fault]
    if told:
        raise ValueError(listing("that are no dense tensors of the file's own data", told))
    dense = [tensor for tensor in tensors.values() if isinstance(tensor, StoredTensor)]
    needed, held = sum(tensor.nbytes for tensor in dense), sum(storage.nbytes for storage in storages_of(dense))
    if needed > 2 * held:
        raise ValueError(f"its tensors take {needed:,} bytes, and it has {held:,} bytes for them")


def check_whole(tensors: Iterable[StoredTensor]) -> None:
    """Refuse storages that are larger than the tensors over them.

    Raises:
        ValueError: with the key of one.
    """
    used: dict[Storage, int] = {}
    for tensor in tensors:
        used[tensor.storage] = used.get(tensor.storage, 0) + tensor.nbytes
    for storage, nbytes in used.items():
        if nbytes < storage.nbytes:
            raise ValueError(f"{storage.nbytes - nbytes} bytes of its storage {storage.key[:50]} belong to no tensor")


def storages_of(tensors: Iterable[StoredTensor]) -> list[Storage]:
    """The storages of tensors, each once.

    Raises:
        ValueError: two storages of different sizes have one key.
    """
    found: dict[str, Storage] = {}
    for tensor in tensors:
        if found.setdefault(tensor.storage.key, tensor.storage) != tensor.storage:
            raise ValueError(f"it describes its storage {tensor.storage.key[:50]} in two ways")
    return list(found.values())


def listing(what: str, names: Iterable[str]) -> str:
    """`3 missing: a, b, c`, with at most five names of at most 200 characters."""
    names = list(names)
    shown = ", ".join(name[:200] for name in names[:5])
    return f"{len(names)} {what}: {shown}{', ...' if len(names) > 5 else ''}"


def _are_sizes(values: Any) -> bool:
    return (
        isinstance(values, tuple)
        and len(values) <= _MOST_DIMENSIONS
        and all(type(value) is int and 0 <= value < 2**63 for value in values)
    )


def _is_dense(shape: tuple[int, ...], stride: tuple[int, ...]) -> bool:
    """Whether the strides are those of a contiguous tensor, its dimensions in some order."""
    expected = 1
    for step, size in sorted((step, size) for size, step in zip(shape, stride, strict=True) if size != 1):
        if 0 in shape:
            return True
        if step != expected:
            return False
        expected *= size
    return True


def _told(sizes: tuple[int, ...]) -> str:
    return f"({', '.join(str(size) for size in sizes[:8])}{', ...' if len(sizes) > 8 else ''})"
