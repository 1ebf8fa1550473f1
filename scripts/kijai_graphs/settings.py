"""What is typed into Kijai's sampling nodes. The page saves values without their names, and the order has changed."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

_AFTER_RUN = ("fixed", "increment", "decrement", "randomize")
"""What becomes of a seed after a run."""


class UnknownSettingsError(ValueError):
    """The values are in no order that is known."""


@dataclass(frozen=True)
class Settings:
    """Of an interpolation.

    Attributes:
        prompt: in older versions, which had no CLIP Text Encode before them; else None.
        after_run: what becomes of the seed.
        fs: frames per second the model is told.
    """

    steps: int
    cfg: float
    eta: float
    frames: int
    prompt: str | None
    seed: int
    after_run: str
    fs: int

    @classmethod
    def read(cls, values: object) -> Settings:
        """steps, cfg, eta, frames, in older versions the prompt, seed, what becomes of it, fs, and more.

        Raises:
            UnknownSettingsError: the values are others.
        """
        if not isinstance(values, list) or len(values) < 7:
            raise UnknownSettingsError(_unknown(values))
        numbers, others = values[:4], list(values[4:])
        prompt = others.pop(0) if isinstance(others[0], str) else None
        seed, after_run, fs = others[:3]
        if not all(map(_is_number, (*numbers, seed, fs))) or after_run not in _AFTER_RUN:
            raise UnknownSettingsError(_unknown(values))
        steps, cfg, eta, frames = numbers
        return cls(int(steps), float(cfg), float(eta), int(frames), prompt, int(seed), after_run, int(fs))

    @property
    def of_encode(self) -> list[Any]:
        """Of Encode Keyframes; the size is wired."""
        return [512, 320, self.frames, self.fs, "crop", False]

    @property
    def of_sampler(self) -> list[Any]:
        return [self.seed, self.after_run, self.steps, max(1.0, self.cfg), 0.7, self.eta, 1.0, "", 0.0, 1.0]


def _unknown(values: object) -> str:
    return f"its settings are {values}; expected steps, cfg, eta, frames, seed, what becomes of the seed, and fs"


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < math.inf


def weight_dtype(values: list[Any]) -> str:
    """Of our Loader: its file's name is followed by a dtype and, in later versions, by whether the U-Net is in fp8."""
    dtype, fp8 = [*values[1:3], "auto", False][:2] if len(values) < 3 else values[1:3]
    if fp8 is True:
        return "fp8_e4m3fn"
    return dtype if dtype in ("fp16", "bf16") else "default"
