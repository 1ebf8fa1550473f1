"""Tensors from PyTorch's two file formats: found by their descriptions, checked, and only then mapped or read."""

from __future__ import annotations

import io
import os
import struct
import sys
import zipfile
import zlib
from bisect import bisect_right
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Protocol

import torch
from torch import Tensor

from .pickles import unpickle
from .stored_tensor import (
    NAMES,
    Storage,
    StoredTensor,
    check_stored,
    check_whole,
    is_tensor,
    listing,
    make_storage,
    storages_of,
)

_RECORD = b"PK\x03\x04"
TORCH_FILES = (_RECORD, b"\x80")
"""First bytes of both formats: of a zip archive, and of a pickle."""
_DESCRIPTOR = b"PK\x07\x08"
_LEGACY_HEADER = (0x1950A86A20F9469CFC6C, 1001)
_ENCRYPTED, _UTF8 = 0x1, 0x800
"""Flags of a record in a zip archive."""

_LONGEST_PICKLE = 2**25
"""Bytes; a tensor takes some 250 of them."""

_LARGEST_RATIO = 16
"""Unpacked size of compressed tensors over the file's size. Weights are noise and hardly shrink."""

_ALIGNMENT = 8
"""Bytes at whose multiples every dtype may be read in place."""

_DAMAGE = (
    zipfile.BadZipFile,
    zlib.error,
    NotImplementedError,
    RuntimeError,
    EOFError,
    struct.error,
    LookupError,
    OverflowError,
    OSError,
)
"""What reading raises on files that are damaged, encrypted or packed in a way `zipfile` does not know."""


@dataclass(frozen=True)
class Block:
    """The bytes of one storage.

    Attributes:
        begin: where they begin in the file.
        nbytes: how many they are.
        unpack: gives them, where they are compressed in the file.
    """

    begin: int
    nbytes: int
    unpack: Callable[[], bytes] | None = None


class _Container(Protocol):
    """A file format: its content, with descriptions in the place of tensors, and where the data of these is."""

    content: Any

    def blocks(self, tensors: list[StoredTensor]) -> dict[str, Block]: ...


def read_torch_file(path: Path, choose: Callable[[Any], Mapping[str, Any]]) -> dict[str, Tensor]:
    """The tensors of a file that `torch.save` wrote, in the zip format or the older one.

    Nothing is allocated for them before the pickle, every tensor's place and the sizes of all storages have been
    checked. Then the file is mapped. Only data that is compressed, or begins at an odd place, is read into memory.
    Checksums of the pickle and of compressed data are compared; those of mapped data are not, which would take reading
    all of the file. The older format has none.

    Args:
        path: the file.
        choose: gives the part of the file's content that has the tensors by name; what is no tensor is left out.

    Raises:
        UnsafeError: the pickle asks for more than tensors.
        ValueError: what is wrong with the file, or with a tensor of it.
        MemoryError: there is not enough for what must be read.
    """
    with path.open("rb") as file:
        try:
            container: _Container = _Zip(file) if file.read(len(_RECORD)) == _RECORD else _Legacy(file)
            chosen = choose(container.content)
            check_stored({name: value for name, value in chosen.items() if is_tensor(value)})
            tensors = {name: value for name, value in chosen.items() if isinstance(value, StoredTensor)}
            storages = _storages(path, container.blocks(list(tensors.values())))
        except _DAMAGE as error:
            raise ValueError("it is no PyTorch file, or is damaged") from error
    return {name: tensor.over(storages[tensor.storage.key]) for name, tensor in tensors.items()}


def _storages(path: Path, blocks: Mapping[str, Block]) -> dict[str, torch.UntypedStorage]:
    """Each block as a storage: over the mapped file where that can be, else in memory."""
    try:
        # The whole file in one mapping, private: what is written to a tensor does not come into the file.
        name: Any = os.fsencode(path)  # of a str PyTorch takes only what is UTF-8
        mapped = torch.from_file(name, shared=False, size=path.stat().st_size, dtype=torch.uint8)
        return {key: _storage(mapped.untyped_storage(), block) for key, block in blocks.items()}
    except RuntimeError as error:
        raise MemoryError from error


def _storage(mapped: torch.UntypedStorage, block: Block) -> torch.UntypedStorage:
    if not block.nbytes:
        return torch.UntypedStorage(0)
    if block.unpack is not None:
        data = bytearray(block.unpack())
        if len(data) != block.nbytes:
            raise EOFError
        return torch.frombuffer(data, dtype=torch.uint8).untyped_storage()
    view = mapped[block.begin : block.begin + block.nbytes]
    return view if block.begin % _ALIGNMENT == 0 else view.clone()


class _Zip:
    """The format of PyTorch 1.6 and later: a zip archive with `data.pkl` and a record for each storage.

    Records are not compressed, unless the archive was written again by another program.
    """

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self._archive = zipfile.ZipFile(file)
        self._records = _by_name(self._archive.infolist())
        self._ends = sorted([*(info.header_offset for info in self._records.values()), self._archive.start_dir])
        order = self._read("byteorder").decode("ascii") if "byteorder" in self._records else "little"
        if order != sys.byteorder:
            raise ValueError(f"its numbers are stored as {order[:10]!r}; this machine reads {sys.byteorder!r}")
        self.content = unpickle(io.BytesIO(self._read("data.pkl")), NAMES, make_storage)

    def blocks(self, tensors: list[StoredTensor]) -> dict[str, Block]:
        """Where the storages of these tensors are.

        Raises:
            ValueError: one is not there or of another size, or the archive does not say clearly where it is.
        """
        blocks = {storage.key: self._block(storage) for storage in storages_of(tensors)}
        unpacked = sum(block.nbytes for block in blocks.values() if block.unpack)
        size = self._file.seek(0, io.SEEK_END)
        if unpacked > _LARGEST_RATIO * size:
            raise ValueError(f"its {size:,} bytes unpack to {unpacked:,}, which no weights do")
        return blocks

    def _read(self, name: str) -> bytes:
        """A small record, its checksum compared."""
        info = self._records[name]
        if info.file_size > _LONGEST_PICKLE:
            raise ValueError(f"its record {name} has {info.file_size:,} bytes; expected at most {_LONGEST_PICKLE:,}")
        return self._archive.read(info)

    def _block(self, storage: Storage) -> Block:
        info = self._records.get(f"data/{storage.key}")
        if info is None or info.file_size != storage.nbytes:
            raise ValueError(
                f"its record data/{storage.key[:50]} has {info.file_size if info else 'no'} bytes; its tensors need "
                f"{storage.nbytes}"
            )
        if info.flag_bits & _ENCRYPTED:
            raise zipfile.BadZipFile
        if info.compress_type == zipfile.ZIP_STORED:
            return Block(self._begin(info), storage.nbytes)
        return Block(info.header_offset, storage.nbytes, lambda: self._archive.read(info))

    def _begin(self, info: zipfile.ZipInfo) -> int:
        """Where an uncompressed record's data begins.

        Its own header must bear its name, and its data end where the next record begins, or a descriptor with its
        checksum: data that were a few bytes off would be other weights, and nobody would notice.
        """
        self._file.seek(info.header_offset)
        magic, name_length, extra_length = struct.unpack("<4s22xHH", self._file.read(30))
        name = self._file.read(name_length).decode("utf-8" if info.flag_bits & _UTF8 else "cp437")
        begin = info.header_offset + 30 + name_length + extra_length
        gap = self._ends[bisect_right(self._ends, info.header_offset)] - begin - info.file_size
        self._file.seek(begin + info.file_size)
        descriptor = self._file.read(8)
        ends_there = gap == 0 or (gap in (16, 24) and descriptor == _DESCRIPTOR + struct.pack("<I", info.CRC))
        if magic != _RECORD or name != info.orig_filename or not ends_there:
            raise zipfile.BadZipFile
        return begin


def _by_name(infos: Iterable[zipfile.ZipInfo]) -> dict[str, zipfile.ZipInfo]:
    """Records by their names inside the archive's one folder."""
    records: dict[str, zipfile.ZipInfo] = {}
    twice = []
    for info in infos:
        name = info.filename.partition("/")[2] or info.filename
        if records.setdefault(name, info) is not info:
            twice.append(name)
    if twice:
        raise ValueError(listing("of its records come twice", twice))
    return records


class _Legacy:
    """The format before PyTorch 1.6: pickles, then each storage's number of elements and data, in the order of keys."""

    def __init__(self, file: IO[bytes]) -> None:
        self._storages: dict[str, Storage] = {}
        file.seek(0)
        head = io.BytesIO(file.read(_LONGEST_PICKLE))
        if (unpickle(head, {}), unpickle(head, {})) != _LEGACY_HEADER:
            raise ValueError("it does not begin as PyTorch's files do")
        system = unpickle(head, {})
        if not isinstance(system, dict) or system.get("little_endian") != (sys.byteorder == "little"):
            raise ValueError("its numbers are stored in an order that this machine does not read")
        self.content = unpickle(head, NAMES, self._stored)
        self._blocks = self._find(file, unpickle(head, {}), head.tell())

    def blocks(self, tensors: list[StoredTensor]) -> dict[str, Block]:
        """Where the storages of these tensors are.

        Raises:
            ValueError: a storage is larger than its tensors. This format has no checksum, so that the sizes are all
                that shows a damaged description.
        """
        check_whole(tensors)
        return self._blocks

    def _stored(self, description: tuple[Any, ...]) -> Storage:
        storage = make_storage(description)
        if self._storages.setdefault(storage.key, storage) != storage:
            raise ValueError(f"it describes its storage {storage.key[:50]} in two ways")
        return storage

    def _find(self, file: IO[bytes], keys: Any, begin: int) -> dict[str, Block]:
        listed = keys if isinstance(keys, list) and all(isinstance(key, str) for key in keys) else []
        if len(listed) != len(self._storages) or set(listed) != set(self._storages):
            raise ValueError("the storages it lists are not those of its tensors")
        blocks: dict[str, Block] = {}
        size = file.seek(0, io.SEEK_END)
        for key in listed:
            storage = self._storages[key]
            file.seek(begin)
            (numel,) = struct.unpack("<q", file.read(8))
            if numel != storage.numel:
                raise ValueError(f"its storage {key[:50]} has {numel} elements; its tensors need {storage.numel}")
            blocks[key] = Block(begin + 8, storage.nbytes)
            begin += 8 + storage.nbytes
            if begin > size:
                break
        if begin != size:
            raise ValueError(f"it has {size:,} bytes, and its tensors end at {begin:,}")
        return blocks
