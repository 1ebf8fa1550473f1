"""Refuses what main memory cannot hold, before anything is read into it."""

from __future__ import annotations

from collections.abc import Iterable

from torch import Tensor

from ...memory import free_bytes, readable


def tensor_bytes(fields: Iterable[object]) -> int:
    """What the tensors among a sample's or a batch's fields take."""
    return sum(field.nbytes for field in fields if isinstance(field, Tensor))


def check_room(what: str, needed: int, advice: str) -> None:
    """Raise ValueError where there is less main memory than is needed.

    Args:
        what: that is needed for, as the beginning of a sentence.
        needed: bytes.
        advice: what to do, as a sentence.
    """
    free = free_bytes("cpu")
    if needed > free:
        raise ValueError(f"{what} take {readable(needed)} of main memory, and {readable(free)} are free. {advice}")
