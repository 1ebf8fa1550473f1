"""Weight files that are damaged, odd or malicious, made from a very small model by a seed."""

from __future__ import annotations

import io
import json
import pickle
import random
import struct
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Literal

import torch
from safetensors.torch import save
from torch import Tensor

from tooncrafter_core.models.config import ModelConfig, SketchConfig

Tensors = dict[str, Tensor]
NAMES = {"zip": "file.ckpt", "legacy": "file.pth", "safetensors": "file.safetensors"}
SOME = "time_embed.0.weight"

SMALLEST = ModelConfig(
    sketch=SketchConfig(
        in_channels=4,
        model_channels=32,
        channel_mult=(1,),
        res_blocks=1,
        attention_levels=(True,),
        head_channels=16,
        context_dim=8,
        hint_channels=1,
        hint_widths=(2, 2, 2, 2, 2, 2, 2),
    )
)
"""A sketch encoder of one level."""


@dataclass(frozen=True)
class DamagedFile:
    """A file, and what must come of it.

    Attributes:
        kind: what was done.
        name: its name.
        data: its bytes.
        tensors: what it holds, if it is read.
        outcome: whether it must be read, must be refused, or may be either.
    """

    kind: str
    name: str
    data: bytes = field(repr=False)
    tensors: Tensors = field(repr=False)
    outcome: Literal["read", "refused", "either"] = "either"


def saved(content: Any, form: str) -> bytes:
    """A file in one of the three formats."""
    if form == "safetensors":
        return save(content)
    stream = io.BytesIO()
    torch.save(content, stream, _use_new_zipfile_serialization=form == "zip")
    return stream.getvalue()


def _bytes(tensor: Tensor) -> bytes:
    return tensor.numpy().tobytes()


def _flip(data: bytes, place: int, bit: int) -> bytes:
    changed = bytearray(data)
    changed[place] ^= 1 << bit
    return bytes(changed)


def rewritten(data: bytes, method: int, only: str = "") -> bytes:
    """A zip archive written again by Python, with records of some names compressed in another way."""
    stream = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(data)) as old, zipfile.ZipFile(stream, "w") as new:
        for name in old.namelist():
            new.writestr(name, old.read(name), method if only in name else zipfile.ZIP_STORED)
    return stream.getvalue()


def all_damaged(tensors: Tensors, seed: int = 0) -> Iterator[DamagedFile]:
    """Every file, some 700 of them; those that need bounded memory are `bombs`."""
    chance = random.Random(seed)
    for form in NAMES:
        data = saved(tensors, form)
        yield from _flipped(form, data, tensors, chance)
        yield from _cut(form, data, tensors, chance)
        yield from _of_other_dtypes(form, tensors)
        yield from _of_other_names_and_shapes(form, tensors)
    yield from _packed(tensors, chance)
    yield from _records(tensors)
    yield from _of_other_layouts(tensors)
    yield from _headers(tensors)


def _flipped(form: str, data: bytes, tensors: Tensors, chance: random.Random) -> Iterator[DamagedFile]:
    """One flipped bit: in what describes the tensors, and in the tensors, where it changes one element and no other."""
    places = {name: data.find(_bytes(tensor)) for name, tensor in tensors.items()}
    inside = sorted((place, place + tensors[name].nbytes, name) for name, place in places.items())
    outside: list[int] = []
    at = 0
    for begin, end, _ in [*inside, (len(data), len(data), "")]:
        outside += range(at, begin)
        at = end
    for place in chance.choices(outside, k=110):
        yield DamagedFile(f"{form} flipped at {place}", NAMES[form], _flip(data, place, chance.randrange(8)), tensors)
    for begin, end, name in chance.choices(inside, k=30):
        place, bit = chance.randrange(begin, end), chance.randrange(8)
        element = torch.frombuffer(bytearray(_flip(_bytes(tensors[name]), place - begin, bit)), dtype=torch.float16)
        held = tensors | {name: element.view(tensors[name].shape)}
        yield DamagedFile(f"{form} flipped in {name}", NAMES[form], _flip(data, place, bit), held, "read")


def _cut(form: str, data: bytes, tensors: Tensors, chance: random.Random) -> Iterator[DamagedFile]:
    """Cut short: in the header, in the tensors, between records, at the end; and with bytes too many."""
    marks = [i for i in range(len(data)) if data.startswith((b"PK\x01\x02", b"PK\x05\x06", b"PK\x03\x04"), i)]
    lengths = {0, 1, 2, 4, 7, 8, 9, 30, 64, 200, *(len(data) - i for i in (1, 2, 7, 8, 22, 23, 64))}
    lengths |= {chance.randrange(len(data)) for _ in range(12)} | set(chance.choices(marks or [3], k=12))
    for length in sorted(lengths):
        yield DamagedFile(f"{form} cut at {length}", NAMES[form], data[:length], tensors, "refused")
    yield DamagedFile(f"{form} longer", NAMES[form], data + bytes(9), tensors, "either" if form == "zip" else "refused")


def _of_other_dtypes(form: str, tensors: Tensors) -> Iterator[DamagedFile]:
    for dtype in (torch.bfloat16, torch.float32, torch.float64, torch.float8_e4m3fn):
        held = tensors | {SOME: tensors[SOME].to(dtype)}
        yield DamagedFile(f"{form} {dtype}", NAMES[form], saved(held, form), held, "read")
    for dtype in (torch.int64, torch.int8, torch.uint8, torch.uint16, torch.bool, torch.complex64):
        held = tensors | {SOME: tensors[SOME].float().to(dtype)}
        yield DamagedFile(f"{form} {dtype}", NAMES[form], saved(held, form), held, "refused")
    odd = tensors | {SOME: torch.full_like(tensors[SOME], float("nan"))}
    yield DamagedFile(f"{form} NaN", NAMES[form], saved(odd, form), odd, "read")


def _of_other_names_and_shapes(form: str, tensors: Tensors) -> Iterator[DamagedFile]:
    for name in list(tensors)[::12]:
        tensor = tensors[name]
        less = {key: value for key, value in tensors.items() if key != name}
        for kind, content in {
            "missing": less,
            "renamed": less | {name + "x": tensor},
            "flat": less | {name: tensor.reshape(1, -1, 1)},
            "empty": less | {name: tensor[:0].clone()},
            "longer": less | {name: torch.cat([tensor, tensor])},
        }.items():
            yield DamagedFile(f"{form} {name} {kind}", NAMES[form], saved(content, form), content, "refused")


def _packed(tensors: Tensors, chance: random.Random) -> Iterator[DamagedFile]:
    """Zip archives that another program wrote again."""
    data = saved(tensors, "zip")
    for kind, method, only, outcome in (
        ("stored again", zipfile.ZIP_STORED, "", "read"),
        ("deflated", zipfile.ZIP_DEFLATED, "", "read"),
        ("deflated data.pkl", zipfile.ZIP_DEFLATED, "data.pkl", "read"),
        ("deflated data/3", zipfile.ZIP_DEFLATED, "data/3", "read"),
        ("bzip2", zipfile.ZIP_BZIP2, "", "either"),
        ("lzma", zipfile.ZIP_LZMA, "data/3", "either"),
    ):
        yield DamagedFile(kind, NAMES["zip"], rewritten(data, method, only), tensors, outcome)
    packed = rewritten(data, zipfile.ZIP_DEFLATED)
    for place in chance.choices(range(len(packed)), k=60):
        yield DamagedFile(f"deflated, flipped at {place}", NAMES["zip"], _flip(packed, place, 3), tensors)
    again = rewritten(data, zipfile.ZIP_STORED)
    for header in [i for i in range(len(again)) if again.startswith((b"PK\x03\x04", b"PK\x01\x02"), i)][::4]:
        for field_at in chance.choices(range(4, 46), k=2):
            kind = f"stored, flipped at {header} + {field_at}"
            yield DamagedFile(kind, NAMES["zip"], _flip(again, header + field_at, 1), tensors)


def _records(tensors: Tensors) -> Iterator[DamagedFile]:
    """Zip archives with records that are there twice, missing or of another size."""
    with zipfile.ZipFile(io.BytesIO(saved(tensors, "zip"))) as old:
        records = {name: old.read(name) for name in old.namelist()}
    root = next(iter(records)).partition("/")[0]
    changes: dict[str, list[tuple[str, bytes]]] = {
        "twice": [(f"{root}/data/3", records[f"{root}/data/4"])],
        "pickle twice": [(f"{root}/data.pkl", records[f"{root}/data.pkl"])],
        "big endian": [(f"{root}/byteorder", b"big")],
        "odd byte order": [(f"{root}/byteorder", b"\xff")],
        "shorter": [(f"{root}/data/3", records[f"{root}/data/3"][:-2])],
        "longer": [(f"{root}/data/3", records[f"{root}/data/3"] + b"\0\0")],
    }
    for kind, added in changes.items():
        kept = records if "twice" in kind else {n: d for n, d in records.items() if n not in dict(added)}
        yield DamagedFile(f"record {kind}", NAMES["zip"], archive([*kept.items(), *added]), tensors, "refused")
    for gone in (f"{root}/data/3", f"{root}/data.pkl"):
        kept = {name: data for name, data in records.items() if name != gone}
        yield DamagedFile(f"no {gone}", NAMES["zip"], archive([*kept.items()]), tensors, "refused")


def _of_other_layouts(tensors: Tensors) -> Iterator[DamagedFile]:
    """Tensors in PyTorch's other layouts, and tensors that claim to be larger than the file."""
    tensor = tensors[SOME]
    huge = torch.zeros(1, dtype=torch.float16).expand(2**20, 2**20)
    values: dict[str, tuple[Any, Literal["read", "refused"]]] = {
        "transposed": (tensor.t().contiguous().t(), "read"),
        "parameter": (torch.nn.Parameter(tensor), "read"),
        "sparse": (tensor.float().to_sparse(), "refused"),
        "sparse rows": (tensor.float().to_sparse_csr(), "refused"),
        "meta": (tensor.to("meta"), "refused"),
        "huge meta": (torch.empty(2**40, device="meta"), "refused"),
        "huge sparse": (torch.sparse_coo_tensor(torch.zeros(2, 0), torch.zeros(0), (2**20, 2**20)), "refused"),
        "expanded": (tensor[:1].clone().expand(tensor.shape), "refused"),
        "huge": (huge, "refused"),
        "huge integers": (torch.zeros(1, dtype=torch.int64).expand(2**40), "refused"),
        "huge bool": (torch.zeros(1, dtype=torch.bool).expand(2**40), "refused"),
        "huge complex": (torch.zeros(1, dtype=torch.complex64).expand(2**40), "refused"),
        "overlapping": (tensor.flatten().as_strided(tensor.shape, (1, 1)), "refused"),
        "quantised": (torch.quantize_per_tensor(tensor.float(), 0.1, 0, torch.qint8), "refused"),
        "negative": (torch.complex(tensor.float(), tensor.float()).conj().imag, "refused"),
        "number": (1.0, "refused"),
    }
    for form in ("zip", "legacy"):
        for kind, (value, outcome) in values.items():
            if (form, kind) != ("legacy", "negative"):
                held = tensors | {SOME: value}
                yield DamagedFile(f"{form} {kind}", NAMES[form], saved(held, form), held, outcome)


def _headers(tensors: Tensors) -> Iterator[DamagedFile]:
    """safetensors headers that say something else."""
    data = saved(tensors, "safetensors")
    (length,) = struct.unpack("<Q", data[:8])
    header, content = json.loads(data[8 : 8 + length]), data[8 + length :]
    entry = header[SOME]
    changes: dict[str, Any] = {
        "metadata list": header | {"__metadata__": [1]},
        "metadata number": header | {"__metadata__": {"a": 1}},
        "metadata nested": header | {"__metadata__": {"a": {"b": "c"}}},
        "no dtype": header | {SOME: {key: value for key, value in entry.items() if key != "dtype"}},
        "unknown dtype": header | {SOME: entry | {"dtype": "F17"}},
        "half bytes": header | {SOME: entry | {"dtype": "F4"}},
        "negative shape": header | {SOME: entry | {"shape": [-32, -128]}},
        "huge shape": header | {SOME: entry | {"shape": [2**40]}},
        "overflowing shape": header | {SOME: entry | {"shape": [2**62, 2**62]}},
        "offsets beyond": header | {SOME: entry | {"data_offsets": [0, 2**60]}},
        "offsets reversed": header | {SOME: entry | {"data_offsets": entry["data_offsets"][::-1]}},
        "list": [1, 2],
        "nothing": {},
        "text": "header",
    }
    texts = {kind: json.dumps(changed).encode() for kind, changed in changes.items()}
    texts |= {"deep": b'{"a":' * 5000, "deep list": b"[" * 99999, "no text": b"\xff" * 99, "open": b"{" + b" " * 99}
    files = {kind: struct.pack("<Q", len(text)) + text + content for kind, text in texts.items()}
    for claimed in (0, 1, length - 1, length + 1, len(data), 2**31, 2**63 - 1, 2**64 - 1):
        files[f"of {claimed} bytes"] = struct.pack("<Q", claimed) + data[8:]
    for kind, file in files.items():
        yield DamagedFile(f"header {kind}", NAMES["safetensors"], file, tensors, "refused")


def bombs() -> Iterator[tuple[str, str, bytes]]:
    """Small files that would take much memory or time: what they do, a file name, the bytes."""
    size = 7_000_000
    pickles = {
        "dictionaries": b"}" * size,
        "dictionaries and their places": b"}q\0" * (size // 3),
        "ordered dictionaries": b"ccollections\nOrderedDict\nq\0" + b"h\0)R" * (size // 4),
        "lists in a list": b"](" + b"]" * size + b"e",
        "marks": b"(" * size,
        "nested tuples": b")" + b"\x85" * size,
        "tuples of tuples as a key": b")q\0" + b"h\0h\0\x86q\0" * 60 + b"}h\0Ns",
        "lists of lists": b"]q\0" + b"](h\0h\0h\0h\0h\0h\0h\0h\0h\0h\0eq\0" * 60,
        "copies": b"ccollections\nOrderedDict\nq\0](" + b"N" * 400_000 + b"eq\1" + b"h\0h\1\x85R" * (size // 6),
        "sizes": b"ctorch\nSize\nq\0(" + b"N" * 400_000 + b"tq\1" + b"h\0h\1\x85R" * (size // 6),
        "a place far away": b"Nr\xff\xff\xff\x7f" * 9,
        "a text of 4 GB": b"X\xff\xff\xff\xff" + b"a" * size,
        "texts": b"X\0\0\0\0" * (size // 5),
        "a number of 7 MB": b"I" + b"9" * size + b"\n",
        "a long number": b"\x8b" + struct.pack("<i", size) + b"\x7f" * size,
        "bytes": b"c__builtin__\nbytearray\nq\0" + b"h\0J\xff\xff\xff\x7f\x85R" * 99,
        "storages": b"(X\7\0\0\0storagectorch\nHalfStorage\nX\1\0\0\x000X\3\0\0\0cpu\x8a\x08" + b"\xff" * 7 + b"\x0ftQ",
    }
    begin = b"".join(pickle.dumps(value, 2) for value in (0x1950A86A20F9469CFC6C, 1001, {"little_endian": True}))
    for at, (kind, code) in enumerate(pickles.items()):
        whole = b"\x80\2" + code + b"."
        form = ("zip", "legacy")[at % 2]
        yield kind, NAMES[form], archive([("archive/data.pkl", whole)]) if form == "zip" else begin + whole
    yield "a packed pickle", NAMES["zip"], archive([("archive/data.pkl", bytes(2**26))], zipfile.ZIP_DEFLATED)
    empty = {f"t{i}": {"dtype": "F16", "shape": [0], "data_offsets": [0, 0]} for i in range(400_000)}
    header = json.dumps(empty).encode()
    yield "empty tensors", NAMES["safetensors"], struct.pack("<Q", len(header)) + header
    zeros = saved({"a": torch.zeros(2**25, dtype=torch.float16)}, "zip")
    yield "packed zeros", NAMES["zip"], rewritten(zeros, zipfile.ZIP_DEFLATED)


def archive(records: list[tuple[str, bytes]], method: int = zipfile.ZIP_STORED) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", method) as new:
        for name, data in records:
            new.writestr(zipfile.ZipInfo(name), data, method)
    return stream.getvalue()
