"""Reads pickles of plain values without Python's unpickler: nothing is imported, nothing of the file is called."""

from __future__ import annotations

import pickletools
from collections.abc import Callable, Mapping
from typing import IO, Any

MOST_STEPS = 500_000
"""Most opcodes of one pickle, and entries of the lists it hands on. A tensor takes some 30."""

_CONSTANTS = {"NONE": None, "NEWTRUE": True, "NEWFALSE": False, "EMPTY_TUPLE": ()}
_SMALL_TUPLES = {"TUPLE1": 1, "TUPLE2": 2, "TUPLE3": 3}
_SAME = frozenset({"PROTO", "STOP"})
_VALUES = frozenset(
    {"BININT", "BININT1", "BININT2", "INT", "LONG", "LONG1", "FLOAT", "BINFLOAT"}
    | {"BINUNICODE", "STRING", "BINSTRING", "SHORT_BINSTRING"}
)
_PUTS = frozenset({"PUT", "BINPUT", "LONG_BINPUT"})
_GETS = frozenset({"GET", "BINGET", "LONG_BINGET"})


class UnsafeError(ValueError):
    """A pickle asks for something that is no value of `Names`; reading it as it was meant could run code."""


Names = Mapping[str, Any]
"""What a pickle may ask for, by its full name in Python: a value, or a function of plain values."""

Stored = Callable[[tuple[Any, ...]], Any]
"""Makes the object that a pickle leaves to who reads it (`persistent_id` in Python's words) from what describes it."""


def unpickle(stream: IO[bytes], names: Names, stored: Stored | None = None) -> Any:
    """The value of one pickle of protocol 2 or older, which is what PyTorch writes.

    Of dictionaries, entries whose key is not text are left out: no name of a tensor is anything else. Time and memory
    are bounded by `MOST_STEPS` and the length of the pickle; lists and texts are never copied.

    Raises:
        UnsafeError: it asks for a name that is not in `names`.
        ValueError: it is no pickle, is damaged, or takes too many steps.
    """
    return _Unpickler(names, stored).run(stream)


class _Unpickler:
    """A pickle's stack machine for the opcodes that describe plain values."""

    def __init__(self, names: Names, stored: Stored | None) -> None:
        self._names = names
        self._stored = stored
        self._stack: list[Any] = []
        self._marks: list[int] = []
        self._memo: dict[int, Any] = {}
        self._steps = 0
        self._actions: dict[str, Callable[[Any], object]] = {
            "MARK": lambda _: self._marks.append(len(self._stack)),
            "EMPTY_DICT": lambda _: self._stack.append({}),
            "EMPTY_LIST": lambda _: self._stack.append([]),
            "EMPTY_SET": lambda _: self._stack.append([]),
            "TUPLE": lambda _: self._stack.append(tuple(self._pop_marked())),
            "LIST": lambda _: self._stack.append(self._pop_marked()),
            "DICT": lambda _: self._stack.append(dict_of(self._pop_marked())),
            "APPEND": lambda _: self._extend([self._stack.pop()]),
            "APPENDS": lambda _: self._extend(self._pop_marked()),
            "SETITEM": lambda _: self._update(self._pop(2)),
            "SETITEMS": lambda _: self._update(self._pop_marked()),
            "GLOBAL": self._push_named,
            "REDUCE": lambda _: self._call(*self._pop(2)),
            "NEWOBJ": lambda _: self._call(*self._pop(2)),
            "BUILD": lambda _: self._pop(1),  # attributes of the object below, such as a state_dict's `_metadata`
            "BINPERSID": lambda _: self._push_stored(self._stack.pop()),
        }

    def run(self, stream: IO[bytes]) -> Any:
        try:
            for opcode, argument, _ in pickletools.genops(stream):
                self._spend(1)
                self._step(opcode.name, argument)
            return self._stack.pop()
        except (LookupError, TypeError, OverflowError) as error:
            raise ValueError("its pickle is damaged") from error

    def _step(self, name: str, argument: Any) -> None:
        if name in _VALUES:
            self._stack.append(argument)
        elif name in _PUTS:
            self._memo[int(argument)] = self._stack[-1]
        elif name in _GETS:
            self._stack.append(self._memo[int(argument)])
        elif name in _CONSTANTS:
            self._stack.append(_CONSTANTS[name])
        elif name in _SMALL_TUPLES:
            self._stack.append(tuple(self._pop(_SMALL_TUPLES[name])))
        elif name in self._actions:
            self._actions[name](argument)
        elif name not in _SAME:
            raise ValueError(f"its pickle has the opcode {name}, which no file of tensors has")

    def _spend(self, steps: int) -> None:
        self._steps += steps
        if self._steps > MOST_STEPS:
            raise ValueError(f"its pickle takes more than {MOST_STEPS:,} steps, far more than tensors need")

    def _pop(self, count: int) -> list[Any]:
        if len(self._stack) < count:
            raise IndexError
        items = self._stack[-count:]
        del self._stack[-count:]
        return items

    def _pop_marked(self) -> list[Any]:
        mark = self._marks.pop()
        items = self._stack[mark:]
        del self._stack[mark:]
        return items

    def _extend(self, items: list[Any]) -> None:
        if not isinstance(self._stack[-1], list):
            raise TypeError
        self._stack[-1].extend(items)

    def _update(self, items: list[Any]) -> None:
        if isinstance(self._stack[-1], dict):
            _add(self._stack[-1], items[::2], items[1::2])

    def _push_named(self, argument: str) -> None:
        name = argument.replace(" ", ".")
        if name not in self._names:
            raise UnsafeError(name)
        self._stack.append(self._names[name])

    def _call(self, function: Any, arguments: Any) -> None:
        if not callable(function) or not isinstance(arguments, tuple):
            raise TypeError
        self._spend(sum(len(value) for value in arguments if isinstance(value, (list, tuple))))
        self._stack.append(function(*arguments))

    def _push_stored(self, description: Any) -> None:
        if self._stored is None or not isinstance(description, tuple):
            raise TypeError
        self._stack.append(self._stored(description))


def dict_of(items: list[Any]) -> dict[str, Any]:
    """A dictionary of keys and values by turns, without the keys that are no text."""
    found: dict[str, Any] = {}
    _add(found, items[::2], items[1::2])
    return found


def _add(found: dict[str, Any], keys: list[Any], values: list[Any]) -> None:
    """Put entries of text keys into a dictionary. A key that comes twice is damage: pickling writes none."""
    if len(keys) != len(values):
        raise IndexError
    for key, value in zip(keys, values, strict=True):
        if isinstance(key, str) and found.setdefault(key, value) is not value:
            raise ValueError(f"its pickle has two entries named {key[:200]!r}")
