"""Classifier-free guidance on v, with guidance rescale (SPEC section 4), in an interval of noise levels."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

_LAST_TIMESTEP = 999


@dataclass(frozen=True)
class Interval:
    """Where the walk is guided (Kynkaanniemi et al. 2024); outside, the conditional prediction is taken as it is.

    Its ends count as ComfyUI's percents do: the share 1 - t / 999 of the way from timestep 999, pure noise, to timestep
    0, so that they mean the same noise whatever the number of steps.

    Attributes:
        start: share from which guidance counts; 0 is the first step.
        end: share up to which it counts, itself included; 1 is the clean end.

    Raises:
        ValueError: the start is not before the end.
    """

    start: float = 0.0
    end: float = 1.0

    def __post_init__(self) -> None:
        if not 0 <= self.start < self.end <= 1:  # which NaN is not either
            raise ValueError(
                f"guidance_from is {self.start:g} and guidance_to {self.end:g}; expected a start before the end, both "
                "from 0 to 1. Set guidance_scale to 1 for no guidance."
            )

    def holds(self, t: int) -> bool:
        """Whether timestep t is guided."""
        return self.start <= 1 - t / _LAST_TIMESTEP <= self.end


EVERYWHERE = Interval()
"""The whole walk is guided, as published."""


def guide(conditional: Tensor, unconditional: Tensor, scale: float, rescale: float) -> Tensor:
    """Combine two v-predictions.

    Args:
        conditional: v with the prompt and the keyframe's image tokens (b, ...).
        unconditional: v with neither, same shape.
        scale: guidance scale; 1 returns `conditional`.
        rescale: 0 to 1, how far to bring the result's standard deviation (over everything but the batch) back
            to the conditional one's (Lin et al. 2023, section 3.4, equations 15 and 16).

    Returns:
        guided v (b, ...)
    """
    guided = unconditional + scale * (conditional - unconditional)
    if rescale == 0:
        return guided
    axes = tuple(range(1, guided.ndim))
    ratio = conditional.std(dim=axes, keepdim=True) / guided.std(dim=axes, keepdim=True)
    return guided * (rescale * ratio + (1 - rescale))
