"""Classifier-free guidance on v, with guidance rescale (SPEC section 4)."""

from __future__ import annotations

from torch import Tensor


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
