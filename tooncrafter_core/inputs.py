"""What is given by mistake, as a message shows it."""

from __future__ import annotations

import math
from reprlib import Repr

_LONGEST = 1000
"""Digits of a whole number that is written out; Python itself refuses more than 4,300."""


class _Shortened(Repr):
    def repr_int(self, x: int, level: int) -> str:
        digits = x.bit_length() * math.log10(2)
        return super().repr_int(x, level) if digits <= _LONGEST else f"a number of about {digits:,.0f} digits"


shortened = _Shortened().repr
"""A wrong value in a few words, whatever it is."""
